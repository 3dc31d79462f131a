"""Whatever comes through the server's door: a sentence for what is wrong, and a server that lives on, defended."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bad_requests
import httpx
import pytest
from bad_requests import BODIES, FIELDS, GOOD, IMAGES, NO_IMAGES, RED, SPELLED, turn
from served import Server, start

CHAT = "/v1/chat/completions"
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("door")
    found = start(folder, "--access-log", str(folder / "access.jsonl"), "--max-body-mb", "2")
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def lives_on(server: Server) -> Iterator[None]:
    """After every test a good request is answered, steered, with its receipt, and the server says it is defended."""
    yield
    found = post(server)
    assert found.status_code == 200, found.text
    assert found.json()["ras"]["action"] == "steered"
    assert found.headers["x-ras"].startswith("action=steered; ")
    health = httpx.get(server.url + "/health", timeout=60)
    assert (health.status_code, health.json()["status"]) == (200, "defended")


def post(server: Server, **fields: Any) -> httpx.Response:
    # Not httpx's own JSON, which sends neither NaN nor halves of characters.
    body = json.dumps({**GOOD, **fields})
    return httpx.post(server.url + CHAT, content=body, headers={"content-type": "application/json"}, timeout=60)


def said(found: httpx.Response) -> str:
    """The sentence of a refusal."""
    assert 400 <= found.status_code < 500, (found.status_code, found.text[:500])
    error = found.json()["error"]
    assert error["code"] == found.status_code
    message = str(error["message"])
    assert 0 < len(message) < 500
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def with_image(url: Any, count: int = 1, **fields: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}, **fields}] * count
    return {"messages": [turn([*parts, {"type": "text", "text": "what is this ?"}])]}


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (server.stderr.parent / "access.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_request_is_refused_with_a_sentence(server: Server, name: str) -> None:
    body, kind, word = BODIES[name]
    before = len(lines(server))
    headers = {} if kind is None else {"content-type": kind}
    found = httpx.post(server.url + CHAT, content=body, headers=headers, timeout=60)
    assert word in said(found)
    assert [line["status"] for line in lines(server)[before:]] == [found.status_code]


@pytest.mark.parametrize("at", range(len(FIELDS)), ids=lambda at: f"{at}-{'-'.join(FIELDS[at][0])}")
def test_a_field_that_cannot_be_is_refused_with_a_sentence(server: Server, at: int) -> None:
    fields, word = FIELDS[at]
    before = len(lines(server))
    found = post(server, **fields)
    assert word in said(found)
    assert [line["status"] for line in lines(server)[before:]] == [found.status_code]
    assert "passed" not in str(found.headers)


def test_a_stream_that_cannot_be_is_refused_like_an_answer(server: Server) -> None:
    assert "max_tokens" in said(post(server, stream=True, max_tokens=-1))


@pytest.mark.parametrize("framed", ["with its length", "in chunks"])
def test_a_body_above_the_limit_is_refused(server: Server, framed: str) -> None:
    whole = json.dumps({**GOOD, "user": "x" * 3 * MIB}).encode()
    pieces: Any = (
        whole if framed == "with its length" else iter([whole[at : at + 65536] for at in range(0, 3 * MIB, 65536)])
    )
    before = len(lines(server))
    found = httpx.post(server.url + CHAT, content=pieces, headers={"content-type": "application/json"}, timeout=60)
    assert found.status_code == 413
    assert "larger than the 2097152 bytes" in said(found)
    assert [line["status"] for line in lines(server)[before:]] == [413]


def test_a_request_too_long_for_its_judge_alone_says_so(server: Server) -> None:
    answered, refused = [post(server, messages=[turn("what " * count)]) for count in (100, 246)]
    assert answered.status_code == 200
    assert "with the safety prompt by which it is judged" in said(refused)
    tokens = httpx.post(server.url + "/tokenize", json={"messages": [turn("what " * 246)]}, timeout=60).json()
    assert tokens["count"] < tokens["max_model_len"]


@pytest.mark.parametrize("token", SPELLED)
def test_a_text_that_spells_a_special_token_is_refused(server: Server, token: str) -> None:
    read = httpx.post(server.url + "/tokenize", json={"prompt": f"what {token} yes", "return_token_strs": True})
    assert token in read.json()["token_strs"]  # so it would have been more than words
    for messages in (
        [turn(f"what is this ? {token} yes")],
        [turn(f"what{token}yes"), turn("a red car .", "assistant"), turn("what is this ?")],
        [turn(f"be kind {token}", "system"), turn("what is this ?")],
        [turn([{"type": "text", "text": token[:2]}, {"type": "text", "text": token[2:] + " what"}])],
    ):
        assert token in said(post(server, messages=messages))


def test_texts_that_are_only_strange_are_answered(server: Server) -> None:
    for text in ("what\0 is this ?", "< image > what", "\U0001f600" * 30 + " what", "what \u202e\u200b\ufeff"):
        assert post(server, messages=[turn(text)]).status_code == 200


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_that_is_taken_is_refused(server: Server, name: str) -> None:
    url, word = NO_IMAGES[name]
    assert word in said(post(server, **with_image(url)))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_any_form_is_looked_at(server: Server, name: str) -> None:
    found = post(server, **with_image(IMAGES[name]))
    assert found.status_code == 200, found.text
    assert found.json()["ras"]["visual_context"]


def test_more_images_than_are_allowed_are_refused(server: Server) -> None:
    assert post(server, **with_image(RED, 2)).status_code == 200
    assert "2 image" in said(post(server, **with_image(RED, 3)))


def test_nothing_is_fetched_for_a_client(server: Server) -> None:
    counted = httpx.post(server.url + "/tokenize", json=with_image(RED), timeout=60).json()
    assert counted["count"] > 36  # the tokens of an image that came with the request
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        port = listening.getsockname()[1]
        for scheme in ("http", "https", "HTTP"):
            message = said(post(server, **with_image(f"{scheme}://127.0.0.1:{port}/x.png")))
            assert "--allowed-media-domains" in message
            asked = with_image(f"{scheme}://127.0.0.1:{port}/x.png")
            assert "--allowed-media-domains" in said(httpx.post(server.url + "/tokenize", json=asked, timeout=60))
        # The engine's own kind of part would be opened by the processor of the images, from wherever it says.
        for given in (f"http://127.0.0.1:{port}/x.png", "/etc/hostname", {"url": RED}):
            part = {"type": "image_pil", "image_pil": given}
            messages = [turn([part, {"type": "text", "text": "what"}])]
            assert "image_pil" in said(post(server, messages=messages))
            for asked in (messages, [turn([{"image_pil": given}])]):
                found = httpx.post(server.url + "/tokenize", json={"messages": asked}, timeout=60)
                assert "must be a text" in said(found)
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_name_for_the_cache_that_a_client_gives_is_not_used(server: Server) -> None:
    blue = bad_requests.data_url(bad_requests.file_of(bad_requests.Image.new("RGB", (48, 48), (20, 30, 220))))

    def seen(url: str, **named: str) -> str:
        return str(post(server, **with_image(url, **named)).json()["ras"]["visual_context"])

    alone = {url: seen(url) for url in (RED, blue)}
    assert alone[RED] != alone[blue]
    assert {url: seen(url, uuid="mine") for url in (RED, blue)} == alone


def test_the_same_request_id_at_the_same_time_answers_each_its_own(server: Server) -> None:
    questions = ["what is this ?", "what colour is the car ?", "is it safe ?", "what is this ?"] * 2
    alone = [post(server, messages=[turn(text)], max_tokens=20).json() for text in questions]
    with ThreadPoolExecutor(len(questions)) as pool:
        same = list(
            pool.map(lambda text: post(server, messages=[turn(text)], max_tokens=20, request_id="twin"), questions)
        )
    for found, expected in zip(same, alone, strict=True):
        assert found.status_code == 200, found.text
        assert found.json()["choices"][0]["message"] == expected["choices"][0]["message"]
        assert found.json()["ras"]["risk"] == pytest.approx(expected["ras"]["risk"], abs=1e-4)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", CHAT, 405), ("PUT", CHAT, 405), ("GET", "/nope", 404)])
def test_another_method_or_path_gets_a_sentence(server: Server, method: str, path: str, status: int) -> None:
    found = httpx.request(method, server.url + path, timeout=60)
    assert found.status_code == status
    assert path in said(found)


def test_a_client_that_does_not_wait_leaves_a_line(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    before = len(lines(server))
    with socket.create_connection((host, int(port))) as gone:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        gone.sendall(head.encode() + b"{")
    post(server)
    assert _until(lambda: sorted(line["status"] for line in lines(server)[before:]) in ([200, 400], [200, 499]))


def _until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    waiting = threading.Event()
    for _ in range(int(seconds / 0.1)):
        if true():
            return True
        waiting.wait(0.1)
    return False


def test_every_request_has_left_one_line_without_its_words(server: Server) -> None:
    found = lines(server)
    assert found
    assert all(set(line) >= {"time", "status", "request_id", "error"} for line in found)
    assert "zebra" not in json.dumps(found)
    post(server, messages=[turn("what zebra ? <assistant>")])
    post(server, request_id="zebra\n{}")
    assert len(lines(server)) == len(found) + 2
