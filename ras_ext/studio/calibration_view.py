"""A calibration as HTML: how far it is, and what it found with its doubts, figures and plots."""

from __future__ import annotations

from html import escape

from ras_ext.registry.evidence import LABELS, SIMILARITIES_FILE, read_similarities, shares_at
from ras_ext.registry.plots import risk_histograms, threshold_plot
from ras_ext.registry.theme import Theme
from ras_ext.studio.calibrating import Told
from ras_ext.studio.findings import Finding, findings
from ras_ext.studio.plates import figure, table_of_cells
from ras_ext.studio.remarks import note, progress, warned
from ras_ext.vectors import SteeringVectors


def progress_html(told: Told) -> str:
    """The stages that are over in a line each, and a bar for the one that goes on."""
    if not told.stages:
        return note("Waiting for the model…")
    *over, now = told.stages
    lines = "".join(f"<li>{escape(stage.title)}: done</li>" for stage in over)
    title = now.title[0].upper() + now.title[1:]
    # A stage may need less than its total; what comes next tells that it is over.
    return (f'<ul class="ras-note">{lines}</ul>' if lines else "") + progress(title, now.done, now.total)


def result_html(vectors: SteeringVectors) -> str:
    """Doubts first, then the figures, then the plots."""
    doubts = list(vectors.calibration["warnings"])
    said = warned(doubts, "The calibration has doubts:") or note("The calibration has no doubts.")
    rows = [(escape(one.what), escape(one.value), _verdict(one), escape(one.meaning)) for one in findings(vectors)]
    return (
        said + table_of_cells("What was found", ("figure", "value", "verdict", "what it means"), rows) + _plots(vectors)
    )


def _verdict(finding: Finding) -> str:
    return f'<span class="ras-{finding.verdict}">{finding.verdict}</span>' if finding.verdict else "–"


def _plots(vectors: SteeringVectors) -> str:
    if SIMILARITIES_FILE not in vectors.evidence_files:
        return ""
    rows = read_similarities(vectors.evidence_files[SIMILARITIES_FILE])
    columns = [
        {label: [getattr(row, column) for row in rows if row.label == label] for label in LABELS}
        for column in ("similarity", "risk")
    ]
    through, flagged = shares_at(rows, vectors.s_base)

    def histograms(theme: Theme) -> bytes:
        return risk_histograms(*columns, alpha=vectors.alpha, s_base=vectors.s_base, theme=theme, dpi=110)

    def curve(theme: Theme) -> bytes:
        return threshold_plot(rows, s_base=vectors.s_base, theme=theme, ground=None)

    counts = " and ".join(f"{len(columns[0][label])} {label}" for label in LABELS)
    return (
        '<p class="ras-heading">Separation</p>'
        + figure(
            histograms,
            f"Histograms of the similarity S and of the risk r of {counts} requests, with the baseline at "
            f"{vectors.s_base:.3f}",
        )
        + '<p class="ras-heading">What moving the baseline would trade</p>'
        + figure(
            curve,
            f"Curve of unsafe requests let through against safe ones flagged as the baseline moves; now {through:.1%} "
            f"are let through and {flagged:.1%} flagged",
        )
    )
