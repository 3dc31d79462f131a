"""The door: what is open, who comes in, from which pages, with how much. Driven as a server drives ASGI."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from ras_ext.studio import door as module
from ras_ext.studio.app import LOOPBACK
from ras_ext.studio.door import MOST_BYTES, USER, Door

PASSWORD = "long enough ü"


class Room:
    """What is behind the door: writes down what comes in, and answers in two pieces."""

    def __init__(self) -> None:
        self.scopes: list[dict] = []
        self.messages: list[dict] = []
        self.between: Any = None

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "lifespan":
            self.messages.append(await receive())
            await send({"type": "lifespan.startup.complete"})
            return
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        if self.between:
            self.between()
        await send({"type": "http.response.body", "body": b"two", "more_body": False})


def ask(
    door: Door,
    path: str = "/",
    *,
    method: str = "GET",
    body: tuple[bytes, ...] = (b"",),
    kind: str = "http",
    **headers: str,
) -> list[dict]:
    """All messages that are sent back."""
    pieces = [{"type": "http.request", "body": piece, "more_body": True} for piece in body]
    pieces[-1]["more_body"] = False
    waiting, answers = iter(pieces), list[dict]()

    async def receive() -> dict:
        return next(waiting)

    async def send(message: dict) -> None:
        answers.append(message)

    given = {"host": "127.0.0.1:7860", **headers}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    asyncio.run(door(scope, receive, send))
    return answers


def status(door: Door, path: str = "/", **how: Any) -> int:
    return ask(door, path, **how)[0]["status"]


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def door(room: Room) -> Door:
    return Door(room, hosts=LOOPBACK)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/theme.css",
        "/assets/index-Bx1.js",
        "/static/fonts/a/b.woff2",
        "/gradio_api/queue/join",
        "/gradio_api/queue/data",
        "/gradio_api/upload",
        "/gradio_api/heartbeat/abc123",
        "/gradio_api/cancel",
    ],
)
def test_what_the_page_needs_is_open(door: Door, room: Room, path: str) -> None:
    assert status(door, path) == 200
    assert room.scopes[0]["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:9/",
        "/gradio_api/stream/a/b",
        "/gradio_api/info",
        "/gradio_api/call/answer",
        "/gradio_api/run/predict",
        "/gradio_api/api/predict",
        "/gradio_api/component_server",
        "/gradio_api/deep_link",
        "/gradio_api/queue/status",
        "/gradio_api/heartbeat/",
        "/gradio_api/heartbeat/a/b",
        "/gradio_api/upload/",
        "/gradio_api/upload\n",
        "/monitoring/x",
        "/login",
        "/logout",
        "/token",
        "/docs",
        "/openapi.json",
        "/mcp",
        "/custom_component/x/y/z/w",
        "/assets/../config",
        "/static/..",
        "/static/a b",
        "/static/a%2fb",
        "/static/a\\b",
        "//etc/passwd",
        "",
        "/.git/config",
        "/config/",
    ],
)
def test_everything_else_is_closed(door: Door, room: Room, path: str) -> None:
    assert status(door, path) == 404
    assert room.scopes == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7860", "localhost:1", "LOCALHOST", "[::1]:7860", "[::1]"])
def test_this_machine_may_be_called_by_its_names(door: Door, host: str) -> None:
    assert status(door, host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "", "127.0.0.1:x"]
)
def test_another_name_means_a_foreign_page_had_it_resolved_here(door: Door, room: Room, host: str) -> None:
    assert status(door, host=host) == 421
    assert room.scopes == []
    assert status(Door(room), host=host) == 200  # where any name is taken


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "https://127.0.0.1:7860"])
def test_the_page_itself_may_write(door: Door, origin: str) -> None:
    assert status(door, "/gradio_api/upload", method="POST", origin=origin) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:7861",
        "http://127.0.0.1",
        "null",
        "http://[broken",
        "127.0.0.1:7860",
        "http://127.0.0.1:7860@evil.example",
    ],
)
def test_another_sites_page_may_not(door: Door, room: Room, origin: str) -> None:
    assert status(door, "/gradio_api/upload", method="POST", origin=origin) == 403
    assert room.scopes == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_not_used(door: Door, method: str) -> None:
    assert status(door, method=method) == 405


def basic(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


def test_the_right_password_opens_everything_and_without_it_nothing_is_told(room: Room) -> None:
    door = Door(room, password=PASSWORD)
    assert status(door, authorization=basic(f"{USER}:{PASSWORD}")) == 200
    assert status(door, authorization=basic(f"{USER}:{PASSWORD}").replace("Basic", "bAsIc")) == 200
    room.scopes.clear()
    start, said = ask(door)
    assert start["status"] == 401
    assert dict(start["headers"])[b"www-authenticate"].startswith(b"Basic realm=")
    assert PASSWORD.encode() not in said["body"]
    assert status(door, "/gradio_api/file=/etc/passwd") == 401  # what is open is told to nobody outside
    assert room.scopes == []


@pytest.mark.parametrize(
    "given",
    [
        basic(f"{USER}:wrong"),
        basic(f"other:{PASSWORD}"),
        basic(f"{USER}:{PASSWORD} "),
        basic(f"{USER}:{PASSWORD}", "latin-1"),
        basic(USER),
        basic(f"{USER}:"),
        "Basic",
        "Basic ",
        "",
        f"Bearer {PASSWORD}",
        "Basic \xff\xfe\x00",
        "Basic " + "A" * 60_000,
    ],
)
def test_a_wrong_password_waits_and_stays_outside(room: Room, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    assert status(Door(room, password=PASSWORD), authorization=given) == 401
    assert waited == [1.0]
    assert room.scopes == []


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "9" * 30, "-1", "1e3", "", "0x10", " 1", "1, 1"])
def test_a_length_that_is_too_large_or_none_is_refused(door: Door, room: Room, length: str) -> None:
    assert status(door, "/gradio_api/upload", method="POST", content_length=length) == 413
    assert room.scopes == []


@pytest.mark.parametrize("said", [{}, {"content_length": "10"}])
def test_a_request_that_is_longer_than_it_said_is_cut_off(door: Door, room: Room, said: dict[str, str]) -> None:
    piece = b"x" * (8 << 20)
    assert ask(door, "/gradio_api/upload", method="POST", body=(piece,) * 5, **said) == []
    assert [message["type"] for message in room.messages] == ["http.request"] * 4 + ["http.disconnect"]


def test_a_request_that_is_shorter_than_it_said_passes_as_it_is(door: Door, room: Room) -> None:
    assert status(door, "/gradio_api/upload", method="POST", body=(b"abc",), content_length=str(MOST_BYTES)) == 200
    assert room.messages[0]["body"] == b"abc"


def test_an_answer_passes_piece_by_piece_and_carries_the_headers(room: Room) -> None:
    seen: list[int] = []
    answers: list[dict] = []

    async def send(message: dict) -> None:
        answers.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    room.between = lambda: seen.append(len(answers))
    asyncio.run(Door(room)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send))
    assert seen == [2]  # the start and the first piece were out before the second was made
    headers = dict(answers[0]["headers"])
    assert headers[b"x-own"] == b"1"
    assert b"connect-src 'self'" in headers[b"content-security-policy"]
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"


def test_refusals_carry_the_headers_too(door: Door) -> None:
    start, said = ask(door, "/etc/passwd")
    headers = dict(start["headers"])
    assert b"content-security-policy" in headers
    assert int(headers[b"content-length"]) == len(said["body"])
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"


def test_the_start_and_the_end_of_the_server_pass(room: Room) -> None:
    answers: list[dict] = []

    async def receive() -> dict:
        return {"type": "lifespan.startup"}

    async def send(message: dict) -> None:
        answers.append(message)

    asyncio.run(Door(room, password=PASSWORD, hosts=LOOPBACK)({"type": "lifespan"}, receive, send))
    assert answers == [{"type": "lifespan.startup.complete"}]


def test_web_sockets_are_closed(door: Door, room: Room) -> None:
    assert ask(door, "/gradio_api/queue/join", kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert room.scopes == []
