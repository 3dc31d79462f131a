"""schemathesis against the schema that the server tells of itself: never a 5xx, from 400 on always a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from bad_requests import GOOD
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi
from served import Server, start
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

CHAT = "/v1/chat/completions"
EXAMPLES = 12  # of each route and each kind of data; those of the chat route count more


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("schema")
    (folder / "admin.key").write_text("open-sesame\n")
    found = start(folder, "--admin-key-file", str(folder / "admin.key"), "--access-log", str(folder / "access.jsonl"))
    yield found
    found.stop()


def operations(server: Server) -> Iterator[Any]:
    for found in openapi.from_url(f"{server.url}/openapi.json").get_all_operations():
        yield found.ok()


def over(body: Any) -> Any:
    """A good request with up to three of the fields of a generated one, so that they come further in."""
    if not isinstance(body, dict):
        return GOOD
    names = [name for name in body if name in ChatCompletionRequest.model_fields and name not in GOOD]
    return {**GOOD, **{name: body[name] for name in names[-3:]}}


def check(
    server: Server, operation: Any, mode: GenerationMode, examples: int, over_good: bool = False
) -> dict[int, int]:
    """Sends generated requests; how many came back with which status. `over_good`: only fields of them, a few each."""
    statuses: dict[int, int] = {}

    @settings(
        max_examples=examples,
        derandomize=True,  # the same requests every time
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def sent(case: Any) -> None:
        if over_good:
            case.body = over(case.body)
        found = case.call(base_url=server.url, timeout=60)
        statuses[found.status_code] = statuses.get(found.status_code, 0) + 1
        assert found.status_code < 500, (found.status_code, found.text[:300], case.as_curl_command()[:1000])
        if found.status_code >= 400:
            message = found.json()["error"]["message"]
            assert isinstance(message, str)
            assert message
            # vLLM's other routes repeat what they were sent as it is.
            assert operation.path != CHAT or "\n" not in message, message

    with suppress(Unsatisfiable):  # a route that takes nothing can be sent nothing wrong
        sent()
    return statuses


def test_the_schema_has_the_routes_that_are_served_and_no_others(server: Server) -> None:
    told = {operation.path for operation in operations(server)}
    assert CHAT in told
    assert "/v1/completions" not in told


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_generated_request_breaks_the_server(server: Server, mode: GenerationMode) -> None:
    seen = {}
    for operation in operations(server):
        examples = 60 if operation.path == CHAT else EXAMPLES
        seen[operation.label] = check(server, operation, mode, examples)
    assert sum(seen[f"POST {CHAT}"].values()) >= 30, seen
    _lives(server)


def test_no_generated_field_of_a_good_request_breaks_the_server(server: Server) -> None:
    chat = next(operation for operation in operations(server) if operation.path == CHAT)
    seen = [check(server, chat, mode, 80, over_good=True) for mode in GenerationMode]
    assert all(set(statuses) >= {200, 400} for statuses in seen), seen
    _lives(server)


def _lives(server: Server) -> None:
    found = httpx.post(server.url + CHAT, json=GOOD, timeout=60)
    assert found.json()["ras"]["action"] == "steered"
    assert httpx.get(f"{server.url}/health", timeout=60).json()["status"] == "defended"
