"""``ras-ext studio`` at the terminal: what stops it is one sentence, and its end leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.cli_runs import CALL, only_json, run

WITHOUT_GRADIO = "import sys; sys.modules['gradio'] = None"
STUCK = 120  # seconds


@pytest.fixture
def need_gradio() -> None:
    if find_spec("gradio") is None:
        if os.environ.get("RAS_EXT_REQUIRE_STUDIO") == "1":
            pytest.fail("Gradio is not installed, and RAS_EXT_REQUIRE_STUDIO=1")
        pytest.skip("Gradio is not installed; make test-studio runs this")


def refused(cwd: Path, *args: object, before: str = "", **environ: str) -> str:
    """What a studio that does not start says: one object with one sentence, and exit code 1."""
    scratch = cwd / "scratch"
    scratch.mkdir(exist_ok=True)
    done = run(
        *("studio", "--no-browser", "--port", "0", "--json"),
        *args,
        cwd=cwd,
        before=before,
        TMPDIR=str(scratch),
        **environ,
    )
    said = only_json(done, 1)["error"]
    assert "Traceback" not in done.stderr
    assert list(scratch.glob("ras-ext-studio-*")) == []
    return said


def test_without_gradio_the_extra_is_named(tmp_path: Path) -> None:
    assert "pip install 'ras-ext[studio]'" in refused(tmp_path, before=WITHOUT_GRADIO)


def test_others_need_a_password(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "some-name"):
        said = refused(tmp_path, "--host", host)
        assert said.startswith(f"on {host} others can reach the studio and it has no password")
        assert "--password-file" in said


def test_a_password_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("seven77\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert refused(tmp_path, "--password-file", "short") == "the password has 7 characters; give at least 8"
    assert refused(tmp_path, RAS_EXT_STUDIO_PASSWORD="short") == "the password has 5 characters; give at least 8"
    assert refused(tmp_path, "--password-file", "bytes").startswith("the password cannot be read")
    assert "absent" in refused(tmp_path, "--password-file", "absent")


@pytest.mark.usefixtures("need_gradio")
def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", port)
    assert said.startswith(f"127.0.0.1:{port} cannot be listened on")
    assert "--port" in said


@pytest.mark.usefixtures("need_gradio")
def test_models_and_packs_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "absent-pack" in refused(tmp_path, "--vectors", "./absent-pack")
    assert "builtin:stranger" in refused(tmp_path, "builtin:stranger", "--vectors", "builtin:organism")
    assert "empty" in refused(tmp_path, "./empty", "--vectors", "builtin:organism")
    assert "absent.jsonl" in refused(tmp_path, "--examples", "absent.jsonl")


def test_a_certificate_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate\n")
    assert "there is no file absent.pem" in refused(tmp_path, "--certificate", "absent.pem")
    assert "there is no file absent.key" in refused(tmp_path, "--certificate", "no.pem", "--key", "absent.key")
    assert "https cannot be served with no.pem" in refused(tmp_path, "--certificate", "no.pem")
    assert "without its certificate" in refused(tmp_path, "--key", "no.pem")


@pytest.mark.usefixtures("need_gradio")
@pytest.mark.parametrize(("ending", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_says_where_it_is_once_and_leaves_nothing_behind(tmp_path: Path, ending: int, code: int) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", CALL, "studio", "--no-browser", "--port", "0", "--json", "--folder", "here"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(scratch)},
        # Who runs the tests in the background has this signal ignored, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        stuck = threading.Timer(STUCK, process.kill)
        stuck.start()
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert {**told, "url": ""} == {
            "url": "",
            "model": "builtin:organism",
            "vectors": "builtin:organism",
            "folder": "here",
        }
        with urllib.request.urlopen(told["url"], timeout=STUCK) as page:  # the address of the studio that was started
            assert b"RAS studio" in page.read()
        (uploads,) = scratch.glob("ras-ext-studio-*")
        assert any(uploads.iterdir())
        process.send_signal(ending)
        rest, errors = process.communicate()
        stuck.cancel()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert [json.loads(line).keys() for line in rest.splitlines()] in ([], [{"error"}] if code else [])
    assert not uploads.exists()


@pytest.mark.usefixtures("need_gradio")
def test_another_loopback_address_is_served_under_its_own_name(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALL, *["studio", "--no-browser", "--port", "0", "--json", "--host", "127.0.0.2"]],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        stuck = threading.Timer(STUCK, process.kill)
        stuck.start()
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            with urllib.request.urlopen(url, timeout=STUCK) as page:
                assert page.status == 200
        finally:
            process.terminate()
            stuck.cancel()
