"""Plots and tables as HTML: pictures drawn once for light and once for dark, tables that scroll on their own."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape

from ras_ext.registry.theme import DARK, LIGHT, Theme


def figure(draw: Callable[[Theme], bytes], alt: str) -> str:
    """A PNG for light and one for dark, of which the page shows one; it can be scrolled by keyboard where narrow."""
    images = "".join(
        f'<img class="ras-{name}" alt="{escape(alt)}" src="{data_uri(draw(theme))}">'
        for name, theme in (("light", LIGHT), ("dark", DARK))
    )
    return f'<div class="ras-scroll ras-figure" tabindex="0" role="region" aria-label="{escape(alt)}">{images}</div>'


def data_uri(png: bytes) -> str:
    """A PNG inside the page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; the first cell of a row heads it."""
    return table_of_cells(caption, heads, ([escape(cell) for cell in row] for row in rows))


def table_of_cells(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As :func:`table` for cells that are HTML already."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    top = f"<thead><tr>{top}</tr></thead>" if any(heads) else ""
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="ras-scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="ras-table"><caption class="ras-heading">{escape(caption)}</caption>{top}'
        f"<tbody>{body}</tbody></table></div>"
    )
