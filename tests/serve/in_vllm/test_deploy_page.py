"""docs/deploy.md does what it says: its server is started, its commands are run, and they say what stands there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from page import Block, blocks, to_three_digits, with_commands
from served import free_port

ALONE, AGAINST = blocks("run alone"), blocks("run")


@dataclass
class Place:
    """A folder to follow the page in, where `ras-ext` and `python` are those of this environment."""

    folder: Path
    environment: dict[str, str]

    def run(self, block: Block, port: int = 8000) -> str:
        """Runs a block as a reader would; what it wrote to stdout."""
        code = block.code.replace(":8000", f":{port}")
        if block.language == "python":
            (self.folder / "snippet.py").write_text(code)
            command = [sys.executable, "-P", "snippet.py"]
        else:
            command = ["bash", "-euo", "pipefail", "-c", code]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("deploy")
    found = Place(folder, with_commands(folder / "bin"))
    found.run(ALONE[0])  # the pictures, and the key
    return found


def check(block: Block, said: str) -> None:
    if block.says is not None:
        assert to_three_digits(said) == to_three_digits(block.says)


def test_the_page_has_what_it_is_about() -> None:
    assert len(blocks("start")) == 1
    assert len(AGAINST) >= 5
    assert all(block.says for block in AGAINST)
    assert {block.language for block in ALONE} == {"sh", "python"}


@pytest.mark.parametrize("block", ALONE[1:], ids=lambda block: f"line {block.line}")
def test_what_needs_no_server_says_what_the_page_says(place: Place, block: Block) -> None:
    check(block, place.run(block))


@pytest.fixture(scope="module")
def port(place: Place) -> Iterator[int]:
    """The page's own server, on another port."""
    found = free_port()
    [block] = blocks("start")
    assert block.code.count("--port 8000") == 1
    log = place.folder / "server.log"
    command = ["bash", "-c", "exec " + block.code.replace("--port 8000", f"--port {found} --host 127.0.0.1")]
    with log.open("w") as to:
        process = subprocess.Popen(command, cwd=place.folder, env=place.environment, stderr=subprocess.PIPE, stdout=to)
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line.decode(errors="replace"))
        if told[-1].startswith("defended: "):
            break
    else:
        pytest.fail("".join(told[-20:]))
    drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
    yield found
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(60) is not None
    finally:
        process.kill()
        drain.wait(10)


@pytest.mark.parametrize("block", AGAINST, ids=lambda block: f"line {block.line}")
def test_what_is_asked_of_the_server_says_what_the_page_says(place: Place, port: int, block: Block) -> None:
    check(block, place.run(block, port))
