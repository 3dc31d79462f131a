"""Markdown that text from outside cannot break: cells of tables, code, figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CELL_LIMIT = 300


class Code(str):
    """Text that stands in backticks, where nothing but the end of a cell has to be escaped."""


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; every cell is escaped."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def listing(values: Mapping[str, Any]) -> str:
    """A table of names and values, for values that nobody has foreseen; nested objects are laid flat."""
    return table(("", ""), [(name, value) for name, value in _flat(values).items()])


def cell(value: Any) -> str:
    """One line that stays inside its cell."""
    if isinstance(value, Code):
        return value.replace("|", "\\|")
    return " ".join(figure(value).replace("|", "\\|").replace("<", "&lt;").split())[:_CELL_LIMIT]


def code(value: Any) -> Code:
    """A value as it stands in a file."""
    return Code("`" + " ".join(figure(value).replace("`", "'").split())[:_CELL_LIMIT] + "`")


def figure(value: Any) -> str:
    """A number with four digits, any other value as it is."""
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return f"{len(value)} entries" if len(value) > 8 else ", ".join(map(figure, value))
    return str(value)


def percent(value: Any) -> str:
    """A share as people read it; what is no share is shown as it is, and a missing one as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return figure(value)
    return f"{100 * value:.1f} %"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key} "))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
