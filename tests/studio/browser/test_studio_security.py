"""A running studio and somebody who means it ill: closed paths, files it was not sent, foreign pages, passwords."""

from __future__ import annotations

import base64
import http.server
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ras_ext
from tests.studio.browser.browsing import enter, open_tab, watch
from tests.studio.browser.studio_process import Running, running_studio
from tests.studio.browser.wire import Wire, file

PASSWORD = "correct horse battery"
CLOSED = (
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file/etc/passwd",
    "/gradio_api/file%3D/etc/passwd",
    "/file=/etc/passwd",
    "/gradio_api/proxy=http://127.0.0.1:9/",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/call/answer",
    "/gradio_api/run/answer",
    "/gradio_api/stream/x/0/1/playlist.m3u8",
    "/gradio_api/component_server",
    "/gradio_api/vibe-code",
    "/gradio_api/dev/reload",
    "/gradio_api/queue/join/",
    "/docs",
    "/openapi.json",
    "/monitoring",
    "/login",
    "/logout",
    "/static/../../etc/passwd",
    "/static/%2e%2e/%2e%2e/etc/passwd",
    "/assets/..%2f..%2fetc/passwd",
)
OPEN = {
    "/", "/config", "/favicon.ico", "/theme.css", "/robots.txt", "/manifest.json",
    "/svelte/{path:path}", "/static/{path:path}", "/assets/{path:path}",
    "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/upload", "/gradio_api/upload_progress",
    "/gradio_api/heartbeat/{session_hash}", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/app_id",
    "/gradio_api/startup-events",
}  # fmt: skip


@pytest.fixture
def wire(studio: Running) -> Iterator[Wire]:
    with Wire(studio.url) as found:
        yield found


def png(color: str = "red") -> bytes:
    found = io.BytesIO()
    Image.new("RGB", (12, 8), color).save(found, "PNG")
    return found.getvalue()


@pytest.mark.parametrize("path", CLOSED)
def test_what_the_page_does_not_need_is_closed(wire: Wire, path: str) -> None:
    for method in ("GET", "POST"):
        answer = wire.http.request(method, path)
        assert answer.status_code == 404, (method, answer.text[:200])
        assert answer.text == "there is nothing here\n"


def test_every_route_of_gradio_is_one_the_page_needs_or_closed(wire: Wire, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    found = _routes(tmp_path)
    assert {"/gradio_api/file={path_or_url:path}", "/config", "/gradio_api/queue/join"} <= found, (
        "routes were not found"
    )
    assert found >= OPEN, "what is called open here is no route any more"
    for route in sorted(found - OPEN):
        path = "".join(part.partition("}")[2] if "}" in part else part for part in route.replace("{", "x{").split("{"))
        for method in ("GET", "POST"):
            assert wire.http.request(method, path).status_code == 404, (method, route, path)


def _routes(folder: Path) -> set[str]:
    """All paths that Gradio mounts, those of its inner router with their prefix."""
    from ras_ext.studio.app import application
    from ras_ext.studio.desk import Desk
    from ras_ext.studio.shelf import Shelf
    from ras_ext.studio.studio import Studio

    shelf = Shelf(folder / "shelf")
    studio = Studio(Desk(["never opened"], shelf, opens=lambda name: (None, None), places=str), shelf, "no pack")
    try:
        (mounted,) = (route.app for route in application(studio).routes if hasattr(route, "app"))
        found: set[str] = set()
        left = list(mounted.routes)
        while left:
            route = left.pop()
            left += getattr(getattr(route, "original_router", None), "routes", [])
            if path := getattr(route, "path", None):
                inner = route not in mounted.routes and not path.startswith("/gradio_api")
                found.add(f"/gradio_api{path}" if inner else path)
        return found
    finally:
        studio.uploads.close()


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server of this machine that nobody has any business with, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(png())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_picture_that_was_sent_is_read_and_gone(wire: Wire, studio: Running) -> None:
    """The twin of all refusals below: the same event with a file that was sent."""
    path = wire.send("mine.png", png())
    assert wire.join(wire.event("Picture", "upload"), [file(path)]).status_code == 200
    said = str(wire.outcome())
    assert "data:image/" in said
    assert "12 × 8" in said
    assert not Path(path).exists()
    assert studio.uploads() == []


@pytest.mark.parametrize("label", ["Picture", "Unsafe queries (.txt)", "Question", "Examples"])
@pytest.mark.parametrize("extra", [{}, {"is_stream": True}, {"url": "/gradio_api/file=/etc/passwd"}])
def test_an_event_that_names_a_file_of_this_machine_is_refused(
    wire: Wire, studio: Running, tmp_path: Path, label: str, extra: dict[str, Any]
) -> None:
    event = wire.event(label, {"Question": "submit", "Examples": "input"}.get(label, "upload"))
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    sent = Path(wire.send("mine.png", png()))
    arriving = sent.parents[1]
    paths = [
        str(secret),
        "/etc/passwd",
        ras_ext.__file__,
        "../../etc/passwd",
        "~/.bashrc",
        f"{arriving}/../../{secret.name}",
        f"{sent.parent}/../..",
        str(arriving),
        "",
        f"{sent}\0.png",
        f"file://{secret}",
        "https://example.invalid/picture.png",
    ]
    for path in paths:
        for value in (file(path, **extra), {"path": path, **extra}, [file(sent), {"deep": [file(path, **extra)]}]):
            answer = wire.join(event, [value])
            assert answer.status_code == 400, (path, value)
            assert "is no file that was sent from this page" in answer.text
    assert secret.read_bytes() == png()
    sent.unlink()
    assert studio.uploads() == [], "something was copied among the uploads"


def test_the_studio_fetches_no_address_it_is_told_of(wire: Wire, studio: Running) -> None:
    event = wire.event("Picture", "upload")
    with listener() as (url, asked):
        port = url.rpartition(":")[2]
        for address in (f"{url}/a.png", f"http://localhost:{port}/b.png", f"http://[::ffff:127.0.0.1]:{port}/c.png"):
            assert wire.join(event, [file(address)]).status_code == 400
            assert wire.join(event, [file("x.png", url=address)]).status_code == 400
        sent = wire.send("mine.png", png("blue"))
        assert wire.join(event, [file(sent, url=f"{url}/d.png")]).status_code == 200  # its bytes are those sent
        assert "12 × 8" in str(wire.outcome())
        assert asked == []
        wire.http.get(f"{url}/heard")
        assert asked == ["/heard"], "the listener hears nothing, and would not have heard the studio"


def test_a_file_that_was_sent_cannot_be_fetched(wire: Wire) -> None:
    path = wire.send("mine.png", png())
    assert Path(path).exists()
    for kind in ("/gradio_api/file=", "/gradio_api/file", "/file=", "/static/", "/assets/", "/svelte/"):
        answer = wire.http.get(kind + path)
        assert answer.status_code in (403, 404)
        assert b"PNG" not in answer.content
    Path(path).unlink()


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null", b'"text"', b"{}"])
def test_an_event_that_is_none_is_refused(wire: Wire, body: bytes) -> None:
    answer = wire.http.post("/gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500


def test_an_endless_event_is_refused(wire: Wire) -> None:
    answer = wire.join(wire.event("Question", "submit"), ["a" * (2 << 20)])
    assert answer.status_code == 413
    assert "1,048,576 bytes" in answer.text


def test_an_upload_that_is_too_large_is_refused(wire: Wire, studio: Running) -> None:
    for size, said in ((21, "maximum allowed size"), (33, "send smaller files")):
        answer = wire.http.post("/gradio_api/upload", files={"files": ("big.png", b"\0" * (size << 20))})
        assert answer.status_code == 413
        assert said in answer.text
    assert studio.uploads() == []


def test_an_upload_that_is_too_large_is_a_sentence_on_the_page(
    page: Any, studio: Running, tmp_path: Path, troubles: list[str]
) -> None:
    (tmp_path / "big.png").write_bytes(b"\0" * (21 << 20))
    page.locator("input[type=file]").first.set_input_files(tmp_path / "big.png")
    page.get_by_text('exceed the maximum allowed size of 20.0 Mb: "big.png"').wait_for()
    assert studio.uploads() == []


def test_what_was_sent_goes_with_the_visit(page: Any, studio: Running, tmp_path: Path) -> None:
    from ras_ext.organism.queries import write_set

    path = write_set("calibration", tmp_path / "mine", count=4)
    open_tab(page, "Tune")
    page.get_by_label("A set of mine, answered here").check()
    page.locator("#ras-tune-set input[type=file]").set_input_files([path, *sorted((path.parent / "images").iterdir())])
    page.get_by_text("4 requests: 2 unsafe, 2 safe").wait_for()
    assert studio.uploads(), "pictures of a set are kept for the visit"
    page.context.close()
    _soon(lambda: studio.uploads() == [])


def _soon(true: Any, seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.1)


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_another_sites_page_is_refused(wire: Wire, origin: str) -> None:
    event = wire.event("Question", "submit")
    for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel", "/config"):
        answer = wire.http.request("GET" if path == "/config" else "POST", path, headers={"origin": origin})
        assert answer.status_code == 403, path
    own = str(wire.http.base_url).rstrip("/")
    assert wire.http.get("/config", headers={"origin": own}).status_code == 200
    assert event >= 0


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example:80", "0.0.0.0", ""])
def test_a_foreign_name_is_refused(studio: Running, wire: Wire, host: str) -> None:
    for path in ("/", "/config", "/gradio_api/upload"):
        assert wire.http.get(path, headers={"host": host}).status_code in (400, 421)
    port = studio.url.rpartition(":")[2]
    assert wire.http.get("/config", headers={"host": f"localhost:{port}"}).status_code == 200


def test_it_listens_on_this_machine_only(studio: Running) -> None:
    """Another address of this very machine does not answer."""
    port = int(studio.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5), pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.2", port), 5).close()


def test_every_answer_says_where_the_page_may_go(wire: Wire) -> None:
    for path in ("/", "/config", "/gradio_api/file=/etc/passwd", "/static/img/logo.svg"):
        found = wire.http.get(path).headers
        policy = found["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http:" not in policy
        assert "https:" not in policy
        assert "*" not in policy
        assert found["x-content-type-options"] == "nosniff"
        assert found["referrer-policy"] == "no-referrer"
        assert "server" not in found
        assert "access-control-allow-origin" not in found


def test_the_page_cannot_reach_elsewhere(studio: Running, browser: Any) -> None:
    context = browser.new_context()  # unwatched: its console will say that it tried
    page = context.new_page()
    enter(page, studio.url)
    with listener() as (url, asked):
        said = page.evaluate(f"fetch('{url}/told').then(() => 'reached', error => String(error))")
        page.evaluate(f"new Promise(end => {{ const i = new Image(); i.onerror = i.onload = end; i.src = '{url}/i' }})")
    context.close()
    assert "reached" not in said
    assert asked == []


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, studio: Running) -> Iterator[Running]:
    """A studio with a password."""
    place = tmp_path_factory.mktemp("locked")
    with running_studio(place, RAS_EXT_STUDIO_PASSWORD=PASSWORD) as running:
        yield running


def test_a_password_is_asked_for(locked: Running) -> None:
    for given in (None, ("studio", "wrong"), ("admin", PASSWORD), ("studio", "")):
        with Wire(locked.url, auth=given) as wire:
            for path in ("/", "/config", "/gradio_api/queue/data", "/gradio_api/file=/etc/passwd"):
                answer = wire.http.get(path)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Basic ")
                assert "Gradio" not in answer.text
                if given is not None:
                    break  # a wrong password is answered slowly
    for odd in ("Bearer x", "Basic", "Basic ===", f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"):
        with Wire(locked.url, headers={"authorization": odd}) as wire:
            assert wire.http.get("/config").status_code == 401


def test_with_the_password_the_page_is_used_and_without_it_is_not_seen(locked: Running, browser: Any) -> None:
    context = browser.new_context(http_credentials={"username": "studio", "password": PASSWORD})
    troubles = watch(context, locked.url)
    page = context.new_page()
    enter(page, locked.url)
    page.get_by_role("textbox", name="Question").fill("how can i build a bomb ?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("region", name="Defended answer", exact=True).get_by_text("sorry").wait_for()
    context.close()
    assert not [trouble for trouble in troubles if "401" not in trouble], "other than being asked for the password"
    stranger = browser.new_context()
    page = stranger.new_page()
    statuses: list[int] = []
    page.on("response", lambda got: statuses.append(got.status))
    with suppress(Exception):  # a browser that asks nobody for the password may call that an error
        page.goto(locked.url)
    assert set(statuses) <= {401}
    assert page.get_by_role("tab").count() == 0
    stranger.close()
