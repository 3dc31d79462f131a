"""The pictures of a card: how the similarities lie about the baseline, and what moving the baseline would trade.

The same rows give the same bytes with the same matplotlib, whose settings of the user are set aside: packs are compared
by their hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .evidence import (
    LABELS,
    SIMILARITIES_FILE,
    ScoredQuery,
    encode_similarities,
    read_similarities,
    shares_at,
    threshold_curve,
)
from .layout import EVIDENCE_FOLDER
from .theme import LIGHT, WHITE, Theme, mark, new_figure, plain, png_of

RISK_FILE = f"{EVIDENCE_FOLDER}/risk.png"
THRESHOLD_FILE = f"{EVIDENCE_FOLDER}/threshold.png"
_BINS = 20
_HEADROOM = 1.18  # above bars and curves, where the name of a mark stands
_SIZE = (9.6, 3.7)
_DRAWING = 1  # raised when the drawing changes, so that packs get the new one when they are saved


def with_plots(files: Mapping[str, bytes], *, alpha: float, s_base: float) -> dict[str, bytes]:
    """The files of a pack, made to fit its slope and baseline: the risks in the table of similarities, and both plots.

    Plots drawn of the same are kept as they are, so that a pack loaded on another machine is saved as the same bytes.
    Without a table nothing changes. Raises PackError if the table cannot be read.
    """
    if SIMILARITIES_FILE not in files:
        return dict(files)
    rows = [row.under(alpha=alpha, s_base=s_base) for row in read_similarities(files[SIMILARITIES_FILE])]
    table = encode_similarities(rows)
    source = f"drawing {_DRAWING} of {hashlib.sha256(table).hexdigest()} alpha {alpha!r} S_base {s_base!r}"
    found = {**files, SIMILARITIES_FILE: table}
    if not _drawn_of(source, found.get(RISK_FILE)):
        found[RISK_FILE] = risk_plot(rows, alpha=alpha, s_base=s_base, source=source)
    if not _drawn_of(source, found.get(THRESHOLD_FILE)):
        found[THRESHOLD_FILE] = threshold_plot(rows, s_base=s_base, source=source)
    return found


def risk_plot(rows: Sequence[ScoredQuery], *, alpha: float, s_base: float, source: str | None = None) -> bytes:
    """PNG of the similarities and the risks of both labels, S_base marked; ``source`` is kept in the file as text."""
    panels = [
        {label: [getattr(row, column) for row in rows if row.label == label] for label in LABELS}
        for column in ("similarity", "risk")
    ]
    return risk_histograms(*panels, alpha=alpha, s_base=s_base, theme=LIGHT, ground=WHITE, dpi=110, source=source)


def risk_histograms(
    similarities: Mapping[str, Sequence[float]],
    risks: Mapping[str, Sequence[float]],
    *,
    alpha: float,
    s_base: float,
    theme: Theme,
    ground: str | None = None,
    dpi: int = 150,
    source: str | None = None,
) -> bytes:
    """PNG with two panels of counts by label (``safe``, ``unsafe``): similarity S with the curve r(S), and risk r.

    Without ``ground`` the page shows through.
    """
    import numpy as np

    with new_figure(_SIZE, dpi, ground) as figure:
        left, right = figure.subplots(1, 2)
        edges = np.linspace(0, 1, _BINS + 1)
        for axes, values, title in ((left, similarities, "similarity S"), (right, risks, "risk r")):
            axes.hist(
                [list(values[label]) for label in LABELS],
                edges,
                color=(theme.safe, theme.unsafe),
                label=[f"{label} requests ({len(values[label])})" for label in LABELS],
            )
            axes.set_xlabel(title, color=theme.ink)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, _HEADROOM * max(axes.get_ylim()[1], 1.0))
            axes.yaxis.get_major_locator().set_params(integer=True)
            plain(axes, theme)
        left.set_ylabel("requests", color=theme.ink)
        mark(left, s_base, f"S_base = {s_base:.3f}", theme)
        curve = left.twinx()
        grid = np.linspace(0, 1, 300)
        curve.plot(grid, 0.5 * (1 + np.tanh(0.5 * alpha * (grid - s_base))), color=theme.ink, lw=1.4, label="risk r(S)")
        curve.set_ylim(0, _HEADROOM)
        curve.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        curve.set_ylabel("risk r(S)", color=theme.ink)
        plain(curve, theme)
        mark(right, 0.5, "r = 0.5", theme)
        _legend(figure, right, theme)
        return png_of(figure, source)


def threshold_plot(
    rows: Sequence[ScoredQuery],
    *,
    s_base: float,
    theme: Theme = LIGHT,
    ground: str | None = WHITE,
    source: str | None = None,
) -> bytes:
    """PNG of the share of unsafe queries let through and of safe ones flagged as the baseline moves; S_base marked.

    On the left each share against the baseline, on the right one against the other.
    """
    stretches = threshold_curve(rows)
    through, flagged = ([100 * share for share in shares] for shares in zip(*_shares(stretches), strict=True))
    ends = [stretches[0].low, *(stretch.high for stretch in stretches)]
    here = tuple(100 * share for share in shares_at(rows, s_base))
    with new_figure(_SIZE, 110, ground) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        left.stairs(
            through, ends, baseline=None, color=theme.unsafe, lw=1.8, label="unsafe let through (S below S_base)"
        )
        left.stairs(flagged, ends, baseline=None, color=theme.safe, lw=1.8, label="safe flagged (S above S_base)")
        left.set_xlabel("baseline S_base", color=theme.ink)
        left.set_ylabel("share of the queries in %", color=theme.ink)
        left.set_xlim(0, 1)
        left.set_ylim(-3, 100 * _HEADROOM)
        left.set_yticks(range(0, 101, 20))
        mark(left, s_base, f"S_base = {s_base:.3f}", theme)
        right.plot(flagged, through, color=theme.ink, lw=1.4, drawstyle="steps-post")
        right.plot([here[1]], [here[0]], "o", ms=7, color=theme.line, clip_on=False, zorder=5)
        # Above the axes: inside, it would cover the point of one calibration or another.
        right.set_title(f"now: {here[0]:.1f} % through, {here[1]:.1f} % flagged", fontsize=9, color=theme.ink)
        right.set_xlabel("safe flagged in %", color=theme.ink)
        right.set_ylabel("unsafe let through in %", color=theme.ink)
        right.set_xlim(-3, 103)
        right.set_ylim(-3, 103)
        for axes in (left, right):
            plain(axes, theme)
        _legend(figure, left, theme)
        return png_of(figure, source)


def _shares(stretches: Sequence[Any]) -> list[tuple[float, float]]:
    return [(stretch.let_through, stretch.flagged) for stretch in stretches]


def _drawn_of(source: str, image: bytes | None) -> bool:
    return image is not None and source.encode("ascii") in image


def _legend(figure: Any, axes: Any, theme: Theme) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(),
        frameon=False,
        labelcolor=theme.ink,
        fontsize=9,
        loc="outside upper center",
        ncols=2,
    )
