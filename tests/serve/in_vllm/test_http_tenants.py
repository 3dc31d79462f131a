"""Keys at the server's door: whose opens what; and what a server fetches whose operator allows a host."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from bad_requests import GOOD, MODEL, Image, file_of, turn
from served import Server, start

import ras_ext

CHAT = "/v1/chat/completions"
FIRST, SECOND, ADMIN = "key-of-the-first", "key-of-the-second", "open-sesame"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tenants")
    shutil.copytree(Path(ras_ext.__file__).parent / "organism" / "pack", found / "other")
    (found / "admin.key").write_text(ADMIN)
    tenants = {
        "first": {"keys_sha256": [hashlib.sha256(FIRST.encode()).hexdigest()], "vectors": [MODEL]},
        "second": {"keys_sha256": [hashlib.sha256(SECOND.encode()).hexdigest()], "vectors": [str(found / "other")]},
    }
    (found / "policy.json").write_text(json.dumps({"tenants": tenants}))
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    packs = ["--vectors", MODEL, "--vectors", str(folder / "other")]
    files = ["--policy", "policy.json", "--admin-key-file", "admin.key", "--access-log", "access.jsonl"]
    named = [str(folder / one) if "." in one else one for one in files]
    found = start(folder, *packs, *named, "--allowed-media-domains", "127.0.0.1")
    yield found
    found.stop()


def post(server: Server, key: str | None, **fields: Any) -> httpx.Response:
    headers = {} if key is None else {"Authorization": key if " " in key else f"Bearer {key}"}
    return httpx.post(server.url + CHAT, json={**GOOD, **fields}, headers=headers, timeout=60)


def test_each_tenant_is_answered_with_its_own_pack(server: Server) -> None:
    for key in (FIRST, SECOND):
        found = post(server, key)
        assert found.status_code == 200, found.text
        assert found.json()["ras"]["action"] == "steered"


@pytest.mark.parametrize("key", [None, "wrong", "Basic " + FIRST, ADMIN, FIRST + "x", "Bearer ,"])
def test_nobody_else_is_answered(server: Server, folder: Path, key: str | None) -> None:
    before = (folder / "access.jsonl").read_text().count("\n")
    found = post(server, key)
    assert found.status_code == 401
    assert "API key" in found.json()["error"]["message"]
    lines = (folder / "access.jsonl").read_text().splitlines()[before:]
    assert [json.loads(line)["status"] for line in lines] == [401]
    assert "wrong" not in lines[0]
    assert "x-ras" not in found.headers


def test_a_pack_of_another_tenant_is_not_there(server: Server, folder: Path) -> None:
    other = str(folder / "other")
    for key, pack in ((FIRST, other), (SECOND, MODEL)):
        found = post(server, key, ras={"pack": pack})
        assert found.status_code == 400
        assert "there is no pack" in found.json()["error"]["message"]
    assert post(server, FIRST, ras={"pack": MODEL}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ras/packs"), ("GET", "/ras/status"), ("POST", "/ras/packs/reload"), ("POST", "/ras/selftest")],
)
def test_a_tenant_s_key_does_not_open_the_admin_s_door(server: Server, method: str, path: str) -> None:
    for key in (FIRST, SECOND, ",", ADMIN + "x"):
        found = httpx.request(method, server.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert found.status_code == 401
        assert "admin key" in found.json()["error"]["message"]
    assert httpx.request(method, server.url + path, headers={"Authorization": f"Bearer {ADMIN}"}, timeout=60).is_success


def test_a_key_in_no_writing_that_is_known_is_nobody_s(server: Server) -> None:
    for value in (b"Bearer \xff\xfe", b"Bearer " + b"x" * 5000, b"bearer\t" + FIRST.encode()):
        for path in (CHAT, "/ras/selftest"):
            found = httpx.post(server.url + path, json=GOOD, headers=[(b"Authorization", value)], timeout=60)
            assert found.status_code == 401
            assert found.json()["error"]["message"]


class _Turncoat(BaseHTTPRequestHandler):
    """Shows one picture to whoever comes first, another one to all others, and sends some elsewhere."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/picture")
            self.end_headers()
            return
        colour = (200, 30, 30) if len(self.asked) == 1 else (20, 30, 220)
        data = file_of(Image.new("RGB", (48, 48), colour))
        self.send_response(200 if self.path == "/picture" else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def host() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    serving = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (_Turncoat,), {"asked": asked}))
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}", asked
    serving.shutdown()
    serving.server_close()
    thread.join()


def picture(server: Server, url: str) -> httpx.Response:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is this ?"}]
    return post(server, FIRST, messages=[turn(parts)])


def test_an_allowed_host_is_asked_once_for_all_stages(server: Server, host: tuple[str, list[str]]) -> None:
    url, asked = host
    found = picture(server, url + "/picture")
    assert found.status_code == 200, found.text
    assert asked == ["/picture"]  # else the judge would have seen another picture than the answer


def test_what_an_allowed_host_does_not_have_is_the_client_s_mistake(
    server: Server, host: tuple[str, list[str]]
) -> None:
    url, asked = host
    found = picture(server, url + "/nothing")
    assert found.status_code == 400
    assert "cannot be fetched" in found.json()["error"]["message"]
    found = picture(server, url + "/elsewhere")
    assert found.status_code == 400, found.text
    assert asked == ["/nothing", "/elsewhere"]  # not where it was sent


def test_another_host_is_not_asked(server: Server, host: tuple[str, list[str]]) -> None:
    url, asked = host
    found = picture(server, url.replace("127.0.0.1", "localhost") + "/picture")
    assert found.status_code == 400
    assert "allowed domains" in found.json()["error"]["message"]
    assert asked == []
