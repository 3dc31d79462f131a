"""What a page may say of files: only such as it sent. Mounted in another application, Gradio copies any path of this
machine that it is told of among the files that were sent, and fetches any address."""

from __future__ import annotations

import json
from pathlib import Path

MOST_BYTES = 1 << 20  # of one event: a question, settings, names of up to 500 files


def wrong(body: bytes, sent: Path) -> str:
    """Why an event that a page sends may not go on to Gradio, in a sentence; empty where it may.

    Args:
        body: the event, JSON.
        sent: the folder in which what was sent lies.
    """
    try:
        left = [json.loads(body)]
    except (ValueError, RecursionError):
        return "this is no event of the studio's page"
    top = sent.resolve()
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if "path" in one and not _inside(one["path"], top):
                return f"{str(one['path'])[:120]!r} is no file that was sent from this page; send it"
            left += one.values()
        elif isinstance(one, list):
            left += one
    return ""


def _inside(path: object, top: Path) -> bool:
    """Whether it is the path of something in that folder, whose name means the same to whoever reads it."""
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        return False
    try:
        return top in Path(path).resolve().parents
    except (OSError, RuntimeError, ValueError):
        return False
