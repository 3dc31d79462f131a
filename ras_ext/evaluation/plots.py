"""Draws how the risk separates safe from unsafe requests, once for light and once for dark pages."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ras_ext.evaluation.record import Record


@dataclass(frozen=True)
class Theme:
    """Colours of a plot; the page behind it shows through."""

    ink: str
    faint: str
    safe: str
    unsafe: str
    line: str


# Blue and orange stay apart for colour-blind eyes.
LIGHT = Theme("#1f2328", "#d0d7de", "#2f6fb2", "#d2601a", "#57606a")
DARK = Theme("#e6edf3", "#3d444d", "#79b8ff", "#ff9e57", "#9198a1")
_BINS = 20


def risk_histogram(records: Sequence[Record], vectors: Mapping[str, Any], theme: Theme) -> str | None:
    """PNG (base64) with two panels, similarity S and risk r of every request; None without any risk."""
    scored = [record for record in records if record.risk is not None]
    if not scored:
        return None
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.7), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    left, right = figure.subplots(1, 2)
    edges = np.linspace(0, 1, _BINS + 1)
    for axes, name, title in ((left, "similarity", "similarity S"), (right, "risk", "risk r")):
        values = {
            label: [v for r in scored if r.label == label and (v := getattr(r, name)) is not None]
            for label in ("safe", "unsafe")
        }
        axes.hist(
            list(values.values()),
            edges,
            color=(theme.safe, theme.unsafe),
            label=[f"{label} requests ({len(found)})" for label, found in values.items()],
        )
        axes.set_xlabel(title, color=theme.ink)
        axes.set_xlim(0, 1)
        _plain(axes, theme)
    left.set_ylabel("requests", color=theme.ink)
    s_base, alpha = vectors["s_base"], vectors["alpha"]
    _mark(left, s_base, f"S_base = {s_base:.3f}", theme)
    curve = left.twinx()
    grid = np.linspace(0, 1, 300)
    curve.plot(grid, 1 / (1 + np.exp(-alpha * (grid - s_base))), color=theme.ink, lw=1.4, label="risk r(S)")
    curve.set_ylim(0, 1.05)
    curve.set_ylabel("risk r(S)", color=theme.ink)
    _plain(curve, theme)
    _mark(right, 0.5, "r = 0.5", theme)
    figure.legend(
        *right.get_legend_handles_labels(),
        frameon=False,
        labelcolor=theme.ink,
        fontsize=9,
        loc="outside upper center",
        ncols=2,
    )
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    return base64.b64encode(image.getvalue()).decode()


def _plain(axes: Any, theme: Theme) -> None:
    axes.patch.set_alpha(0)
    axes.tick_params(colors=theme.ink, labelsize=9)
    for name, spine in axes.spines.items():
        spine.set_color(theme.faint)
        spine.set_visible(name != "top")


def _mark(axes: Any, place: float, text: str, theme: Theme) -> None:
    axes.axvline(place, color=theme.line, ls="--", lw=1.2)
    side = "left" if place < 0.5 else "right"
    axes.annotate(
        text,
        (place, 1.0),
        (6 if side == "left" else -6, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=side,
        va="top",
        fontsize=9,
        color=theme.ink,
    )
