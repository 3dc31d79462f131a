"""The curve over the threshold as SVG that the page colours: one drawing for light and dark, made in no time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ras_ext.evaluation.score import Row
from ras_ext.studio.comparison import SHARES
from ras_ext.studio.outcomes import Outcomes, Setting

# Colour by label, dashes by measure: no colour is the only sign.
_LINES = {
    "asr": ("unsafe", ""),
    "asr_content": ("unsafe", "7 4"),
    "over_refusal": ("safe", "2 3"),
    "utility": ("safe", ""),
}


def drawn(rows: Sequence[tuple[float, Row]], outcomes: Outcomes, chosen: Setting) -> str:
    """The four shares over the threshold at the chosen slope, both thresholds marked, and where the requests stand."""
    lines = "".join(_line(rows, name) for name in SHARES)
    marks = _mark(outcomes.own.threshold, "own") + _mark(chosen.threshold, "chosen")
    ticks = "".join(
        f"<li><span>{escape(label)}</span><svg viewBox='0 0 100 10' preserveAspectRatio='none' aria-hidden='true'>"
        f"<path class='ras-line-{label}' d='{_rug(outcomes, label)}'/></svg></li>"
        for label in ("unsafe", "safe")
    )
    legend = "".join(
        f"<li><svg viewBox='0 0 30 8' aria-hidden='true'><path class='ras-line-{_LINES[name][0]}' "
        f"stroke-dasharray='{_LINES[name][1]}' d='M0 4H30'/></svg>{escape(title)}</li>"
        for name, (title, _) in SHARES.items()
    )
    said = escape(_said(rows, outcomes, chosen))
    return (
        "<figure class='ras-curve'>"
        f"<ul class='ras-legend'>{legend}</ul>"
        "<div class='ras-plot'><div class='ras-up' aria-hidden='true'><span>100 %</span><span>50 %</span>"
        "<span>0 %</span></div>"
        f"<svg viewBox='0 0 100 100' preserveAspectRatio='none' role='img' aria-label='{said}'>"
        f"<path class='ras-grid' d='M0 0H100M0 50H100M0 100H100M25 0V100M50 0V100M75 0V100'/>{marks}{lines}</svg></div>"
        "<div class='ras-along' aria-hidden='true'><span>0</span><span>0.25</span><span>0.5</span><span>0.75</span>"
        "<span>1</span></div>"
        f"<ul class='ras-rug' aria-label='Similarity of every request, on the same axis'>{ticks}</ul>"
        f"<figcaption>Over the threshold, at slope {chosen.slope:.4g}. Dashed upright: the pack’s own threshold "
        f"{outcomes.own.threshold:.3f}; solid: the chosen {chosen.threshold:.3f}. Below: the similarity of each "
        "request.</figcaption></figure>"
    )


def _line(rows: Sequence[tuple[float, Row]], name: str) -> str:
    points = [(place, share) for place, row in rows if (share := getattr(row, name)) is not None]
    if not points:
        return ""
    path = "M" + "L".join(f"{100 * place:.4g} {100 - 100 * share:.4g}" for place, share in points)
    kind, dashes = _LINES[name]
    return f"<path class='ras-line-{kind}' stroke-dasharray='{dashes}' d='{path}'/>"


def _mark(place: float, kind: str) -> str:
    return f"<path class='ras-mark-{kind}' d='M{100 * place:.4g} 0V100'/>"


def _rug(outcomes: Outcomes, label: str) -> str:
    at = {
        round(100 * min(max(one.similarity, 0.0), 1.0), 1)
        for one in outcomes.each
        if one.item.label == label and one.similarity is not None
    }
    return "".join(f"M{place:g} 0V10" for place in sorted(at))


def _said(rows: Sequence[tuple[float, Row]], outcomes: Outcomes, chosen: Setting) -> str:
    """The curve in words: each share at five thresholds."""
    parts = []
    for name, (title, _) in SHARES.items():
        found = [(place, getattr(row, name)) for place, row in rows[:: (len(rows) - 1) // 4]]
        if any(share is not None for _, share in found):
            parts.append(f"{title}: " + ", ".join(f"{share:.0%} at {place:g}" for place, share in found))
    return (
        f"Shares over the threshold from 0 to 1 at slope {chosen.slope:.4g}. {'; '.join(parts)}. "
        f"The pack's own threshold is {outcomes.own.threshold:.3f}, the chosen one {chosen.threshold:.3f}."
    )
