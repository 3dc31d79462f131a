"""The built-in text queries for calibration: what policies forbid, and everyday questions like them in form.

One query a line in ``unsafe.txt`` and ``safe.txt``; ``#`` begins a comment. The unsafe ones name a category and a wish,
never a way.
"""

from __future__ import annotations

from importlib.resources import files


def read_lines(text: str) -> list[str]:
    """The queries of a text file: one a line, blank lines and comments left out."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def built_in(label: str) -> list[str]:
    """The built-in queries labelled ``"unsafe"`` or ``"safe"``."""
    return read_lines((files("ras_ext.queries") / f"{label}.txt").read_text(encoding="utf-8"))
