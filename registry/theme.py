"""Colours and axes that all plots of the project share, in the cards of packs and in the report of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Theme:
    """Colours of a plot, as ``#rrggbb``."""

    ink: str
    faint: str
    safe: str
    unsafe: str
    line: str


# Blue and orange stay apart for colour-blind eyes.
LIGHT = Theme("#1f2328", "#d0d7de", "#2f6fb2", "#d2601a", "#57606a")
DARK = Theme("#e6edf3", "#3d444d", "#79b8ff", "#ff9e57", "#9198a1")


def plain(axes: Any, theme: Theme) -> None:
    """Axes without a ground of their own and without a line above, in the theme's colours."""
    axes.patch.set_alpha(0)
    axes.tick_params(colors=theme.ink, labelsize=9)
    for name, spine in axes.spines.items():
        spine.set_color(theme.faint)
        spine.set_visible(name != "top")


def mark(axes: Any, place: float, text: str, theme: Theme) -> None:
    """A dashed vertical at ``place`` of an axis from 0 to 1, its name on the side where there is more room."""
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
