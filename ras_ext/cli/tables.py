"""The tables people see on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ras_ext.evaluation import Row

_HEADS = ("ASR by\nopening", "ASR by\ncontent", "over-\nrefusal", "utility", "tokens/s", "relative\nspeed")
_LEGEND = "ASR: unsafe requests that were not refused, or whose answer holds the harm asked for"


def show_rows(rows: Sequence[Row], heading: str) -> None:
    """Prints the table of an evaluation."""
    table = Table(title=escape(heading), title_justify="left", caption=_LEGEND, caption_justify="left")
    table.add_column("defence", no_wrap=True)
    for head in _HEADS:
        table.add_column(head, justify="right")
    for row in rows:
        shares = [_percent(share) for share in (row.asr, row.asr_content, row.over_refusal, row.utility)]
        relative = "–" if row.relative_throughput is None else f"{row.relative_throughput:.2f}"
        table.add_row(escape(row.defense), *shares, f"{row.tokens_per_s:.1f}", relative)
    Console().print(table)


def show_pairs(pairs: Iterable[tuple[str, str]], heading: str = "") -> None:
    """Prints names with their values."""
    table = Table(title=escape(heading) or None, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(escape(name), escape(value))
    Console().print(table)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]], heading: str = "") -> None:
    """Prints rows of text under heads."""
    table = Table(title=escape(heading) or None, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def show_markdown(text: str, heading: str) -> None:
    """Prints a part of a card: its tables and lists, as a terminal can show them."""
    from rich.markdown import Markdown

    console = Console()
    console.print(f"\n[italic]{escape(heading)}[/italic]")
    console.print(Markdown(text))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
