"""The blocks of docs/deploy.md that are marked to be run, and what the page says comes out of them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "deploy.md"
_BLOCK = re.compile(
    r"<!-- (?P<mark>run|run alone|start) -->\n```(?P<language>sh|python)\n(?P<code>.*?)\n```"
    r"(?:\n\n```text\n(?P<says>.*?)\n```)?",
    re.DOTALL,
)
_NUMBER = re.compile(r"-?\d+\.\d+")
_LOGGED = re.compile(r"\([\w-]+ pid=\d+\)|INFO |WARNING ")  # by vLLM, which logs to stdout


@dataclass(frozen=True)
class Block:
    """One block. `mark` is ``run`` (against the server), ``run alone`` (without one) or ``start``."""

    mark: str
    language: str
    code: str
    says: str | None
    line: int


def blocks(mark: str | None = None) -> list[Block]:
    """Those of the page, in its order."""
    text = PAGE.read_text(encoding="utf-8")
    found = [
        Block(match["mark"], match["language"], match["code"], match["says"], text[: match.start()].count("\n") + 1)
        for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if mark in (None, block.mark)]


def to_three_digits(text: str) -> list[str]:
    """Lines without their ends and vLLM's own, numbers with a point rounded: what a page can promise."""
    lines = [line.rstrip() for line in text.strip().splitlines() if not _LOGGED.match(line)]
    return [_NUMBER.sub(lambda match: f"{float(match[0]):.3f}", line) for line in lines]


def with_commands(folder: Path) -> dict[str, str]:
    """An environment whose `ras-ext` and `python` are those that the tests run in, made in `folder`."""
    folder.mkdir()
    for name, what in (("ras-ext", "-P -m ras_ext.cli"), ("python", "-P")):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {what} "$@"\n')
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
