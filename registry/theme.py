"""Figures, colours and axes that all plots of the project share, in the cards of packs, reports and explanations.

Matplotlib is loaded only when a figure is made.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
# Pages of the Hub are light or dark: what shows through would be unreadable on one of them.
WHITE = "#ffffff"


@contextmanager
def new_figure(size: tuple[float, float], dpi: int, ground: str | None = WHITE) -> Iterator[Any]:
    """A figure under matplotlib's own defaults, whatever style the calling program has chosen for its own plots.

    Without ``ground`` the page shows through.
    """
    # Without a writable home it says so at every start.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        FigureCanvasAgg(figure)
        if ground is None:
            figure.patch.set_alpha(0)
        else:
            figure.patch.set_facecolor(ground)
        yield figure


def png_of(figure: Any, source: str | None = None) -> bytes:
    """The figure as PNG; ``source`` is kept in the file as text, and nothing of the library that drew it."""
    image = io.BytesIO()
    # The library would write its version.
    figure.savefig(image, format="png", metadata={"Software": None, **({"Source": source} if source else {})})
    return image.getvalue()


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
