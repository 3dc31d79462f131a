"""Draws the figures of the benchmarks: speedups as dots, and quantities that grow as lines. PNG, on white."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ras_ext.benchmark.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#2f6fb2", "#d2601a", "#57606a", "#8250df", "#1a7f37", "#bf3989")
_FAINT = "#d0d7de"
_DPI = 110


def speedups(path: Path, rows: Sequence[Row], title: str) -> Path:
    """One line a row, one dot a peer: how many times as long it takes as ours. Left of 1 the peer is ahead."""
    figure = _figure((9.0, 1.4 + 0.22 * len(rows)))
    axes = figure.add_subplot()
    places = range(len(rows), 0, -1)
    for peer, colour in (("eager", _COLOURS[0]), ("compile", _COLOURS[1])):
        values = [row.speedup_eager if peer == "eager" else row.speedup_compile for row in rows]
        kept = [(value, place) for value, place in zip(values, places, strict=True) if value is not None]
        if kept:
            across, up = zip(*kept, strict=True)
            axes.scatter(across, up, s=18, color=colour, label=f"torch, {peer}", zorder=3)
    axes.axvline(1.0, color=_COLOURS[2], linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(list(places), [_label(row) for row in rows], fontsize=6.5)
    axes.set_ylim(0, len(rows) + 1)
    axes.set_xlabel("times as long as ours")
    axes.grid(axis="x", which="both", color=_FAINT, linewidth=0.5)
    axes.set_title(title, fontsize=9, loc="left")
    axes.legend(fontsize=7, loc="lower right")
    return _save(figure, path)


def lines(
    path: Path,
    series: Mapping[str, Sequence[tuple[float, float]]],
    title: str,
    x: str,
    y: str,
    *,
    log_y: bool = False,
    mark: float | None = None,
) -> Path:
    """Named series of (x, y), x on a logarithmic scale, with a line at `mark`."""
    figure = _figure((7.0, 4.2))
    axes = figure.add_subplot()
    for place, (name, points) in enumerate(series.items()):
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            markersize=4,
            color=_COLOURS[place % len(_COLOURS)],
            linestyle="-" if place < len(_COLOURS) else "--",
            label=name,
        )
    if mark is not None:
        axes.axhline(mark, color=_COLOURS[2], linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log" if log_y else "linear")
    if not log_y:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=_FAINT, linewidth=0.5)
    axes.set_title(title, fontsize=9, loc="left")
    axes.legend(fontsize=7)
    return _save(figure, path)


def _label(row: Row) -> str:
    kind = row.dtype.replace("float", "f")
    setting = f"threads={row.threads}" if row.device == "cpu" else row.cache
    return f"{row.op}  {row.shape}  {kind}, {setting}"


def _figure(size: tuple[float, float]) -> Figure:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path
