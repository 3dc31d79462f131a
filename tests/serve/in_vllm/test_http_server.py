"""`ras-ext serve` as clients meet it: OpenAI's own client, receipts, streams, the doors that stay shut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from served import Server, conversation, start

from ras_ext.guard import Guard
from ras_ext.items import Item

MODEL = "builtin:organism"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "admin.key").write_text("open-sesame\n")
    options = ["--admin-key-file", str(folder / "admin.key"), "--access-log", str(folder / "access.jsonl")]
    found = start(folder, *options)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def by_guard(organism: Any, items: list[Item]) -> dict[str, Any]:
    guard = Guard(organism.model, organism.processor, organism.vectors)
    chosen = [*items[:6], *items[180:186], *items[-2:]]
    answers = guard.generate_batch([item.request() for item in chosen], max_new_tokens=40)
    return {item.id: (item, answer) for item, answer in zip(chosen, answers, strict=True)}


def ask(server: Server, item: Item, **options: Any) -> Any:
    asked = {"model": MODEL, "messages": conversation(item, as_url=True), "max_tokens": 40, "temperature": 0}
    return server.client().chat.completions.create(**{**asked, **options})


def post(server: Server, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "what is this ?"}], "max_tokens": 8, **fields}
    return httpx.post(server.url + path, json=body, timeout=60)


def test_it_says_that_it_is_defended_when_it_is_ready(server: Server) -> None:
    assert server.announced["status"] == "defended"
    health = httpx.get(server.url + "/health")
    assert health.status_code == 200
    assert health.json()["status"] == "defended"


def test_openai_s_client_gets_the_guard_s_answers_with_the_receipt(server: Server, by_guard: dict[str, Any]) -> None:
    for item, expected in by_guard.values():
        found = ask(server, item)
        assert found.choices[0].message.content.strip() == expected.text
        receipt = found.model_extra["ras"]
        assert receipt["risk"] == pytest.approx(expected.risk, abs=1e-3)
        assert receipt["visual_context"] == expected.visual_context
        assert receipt["pack"] == expected.vectors
        assert receipt["carrier"] == "logits"
        assert receipt["action"] == "steered"


def test_the_receipt_is_a_header_too(server: Server) -> None:
    found = post(server)
    assert found.status_code == 200, found.text
    receipt = found.json()["ras"]
    assert found.headers["x-ras"].startswith(f"action=steered; risk={receipt['risk']:.4f};")
    assert receipt["pack"] in found.headers["x-ras"]


def test_a_stream_is_the_same_answer_with_the_receipt_in_its_first_chunk(
    server: Server, by_guard: dict[str, Any]
) -> None:
    for item, expected in list(by_guard.values())[::4]:
        chunks = list(ask(server, item, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip() == expected.text
        assert chunks[0].model_extra["ras"]["risk"] == pytest.approx(expected.risk, abs=1e-3)
        assert all("ras" not in chunk.model_extra for chunk in chunks[1:])


def test_sampling_parameters_hold_and_several_answers_come(server: Server, items: list[Item]) -> None:
    safe = next(item for item in items if item.label == "safe")
    found = ask(server, safe, n=2, temperature=0.7, seed=3, logprobs=True, top_logprobs=2)
    assert len(found.choices) == 2
    assert found.choices[0].logprobs.content


@pytest.mark.parametrize(
    "path",
    ["/v1/completions", "/v1/responses", "/v1/messages", "/v1/chat/completions/batch", "/inference/v1/generate"],
)
def test_what_nobody_defends_is_not_there(server: Server, path: str) -> None:
    assert post(server, path, prompt="hello").status_code == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"no_such_field": 1}, "no_such_field"),
        ({"vllm_xargs": {"ras": "pass"}}, "vllm_xargs"),
        ({"ras": {"pack": "no-such-pack"}}, "no-such-pack"),
        ({"ras": {"strength": 0.0}}, "strength"),
        ({"ras": {"do": "pass"}}, "do"),
        ({"ras": []}, "ras"),
        ({"continue_final_message": True, "add_generation_prompt": False}, "continue_final_message"),
        ({"messages": [{"role": "assistant", "content": "sure"}]}, "last message"),
        ({"messages": []}, "messages"),
        ({"use_beam_search": True}, "beam"),
        ({"truncate_prompt_tokens": 4}, "truncate_prompt_tokens"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tool"),
    ],
)
def test_what_would_pass_the_defence_by_is_refused_with_a_sentence(
    server: Server, fields: dict[str, Any], said: str
) -> None:
    found = post(server, **fields)
    assert found.status_code == 400, found.text
    assert said in found.json()["error"]["message"]


def test_what_runs_is_counted_beside_vllm_s_own_metrics(server: Server) -> None:
    before = httpx.get(server.url + "/metrics").text
    assert "ras_defended 1.0" in before
    post(server)
    after = httpx.get(server.url + "/metrics").text

    def count(text: str) -> float:
        lines = [line for line in text.splitlines() if line.startswith("ras_requests_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    assert count(after) == count(before) + 1
    assert "vllm:" in after


def test_the_access_log_has_a_line_a_request_and_no_words_of_it(server: Server) -> None:
    path = server.stderr.parent / "access.jsonl"
    before = len(path.read_text().splitlines())
    post(server, messages=[{"role": "user", "content": "what colour is the zebra ?"}])
    lines = path.read_text().splitlines()
    assert len(lines) == before + 1
    line = json.loads(lines[-1])
    assert line["action"] == "steered"
    assert line["status"] == 200
    assert "zebra" not in lines[-1]


def test_admin_endpoints_want_their_key(server: Server) -> None:
    key = {"Authorization": "Bearer open-sesame"}
    assert httpx.get(server.url + "/ras/packs").status_code == 401
    packs = httpx.get(server.url + "/ras/packs", headers=key).json()
    assert [pack["name"] for pack in packs["packs"]] == [MODEL]
    reloaded = httpx.post(server.url + "/ras/packs/reload", headers=key, timeout=60)
    assert reloaded.json() == {"changed": [], "packs": [MODEL]}
    status = httpx.get(server.url + "/ras/status", headers=key).json()
    assert status["workers"][0]["counts"]["judged"] > 0
    assert httpx.post(server.url + "/ras/selftest", headers=key, timeout=60).json()["defended"]
