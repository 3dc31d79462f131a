"""A real studio as a process of its own: ``ras-ext studio`` of the organism on a free port of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START = 120  # seconds after which it is taken for stuck


@dataclass(frozen=True)
class Running:
    """A studio that answers: its address, its folder, the file it logs to, where its uploads go, its process."""

    url: str
    folder: Path
    log: Path
    scratch: Path
    process: subprocess.Popen

    def uploads(self) -> list[Path]:
        """Every file that visitors sent and that still lies on this machine."""
        return [
            path for path in self.scratch.glob("ras-ext-studio-*/[!e]*/**/*") if path.is_file() and path.stat().st_size
        ]


@contextmanager
def running_studio(place: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    """Starts one below `place` and ends it on leaving; the Hub is a closed port of this machine, unless it is named.

    Raises AssertionError if it does not start, or logged a traceback while it ran.
    """
    folder, log, scratch = place / "studio", place / "studio.log", place / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    surroundings = {
        **os.environ,
        "RAS_EXT_HOME": str(place / "home"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "TMPDIR": str(scratch),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    command = [sys.executable, "-m", "ras_ext.cli", "studio", "--no-browser", "--port", "0", "--json"]
    with (
        open(log, "wb") as errors,
        subprocess.Popen(
            [*command, "--folder", str(folder), *arguments], stdout=subprocess.PIPE, stderr=errors, env=surroundings
        ) as process,
    ):
        stuck = threading.Timer(START, process.kill)
        stuck.start()
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]  # comes when it answers, or is empty
            stuck.cancel()
            assert line, f"the studio did not start:\n{log.read_text()}"
            yield Running(json.loads(line)["url"], folder, log, scratch, process)
        finally:
            stuck.cancel()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
    assert "Traceback" not in log.read_text(), f"the studio logged an error:\n{log.read_text()[-4000:]}"
