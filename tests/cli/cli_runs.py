"""Runs the command line as its users do: in a process of its own, with stdout and stderr apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CALL = "import sys; from ras_ext.cli import main; main()"


def run(*args: object, cwd: Path, before: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """``ras-ext ARGS`` in `cwd`; `before` is Python that runs ahead of it in the same process."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{CALL}", *map(str, args)],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def only_json(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    """The one object on stdout, after checking that there is nothing else and that the exit code is right."""
    assert done.returncode == code, done.stderr
    assert done.stdout.count("\n") == 1, done.stdout
    value = json.loads(done.stdout, parse_constant=_no_constant)
    assert isinstance(value, dict)
    return value


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
