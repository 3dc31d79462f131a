"""The table of what the baseline was read from, one row for each query, that goes into the pack as evidence."""

from __future__ import annotations

from collections.abc import Sequence

from ras_ext.calibration.baseline import Baseline
from ras_ext.items import Item
from ras_ext.registry.evidence import MAX_ROWS, SIMILARITIES_FILE, ScoredQuery, encode_similarities

# The order of the table, and of the columns of every plot made from it.
_LABELS = ("unsafe", "safe")


def similarity_files(baseline: Baseline, images: Sequence[Item] | None) -> dict[str, bytes]:
    """The table as a file of the pack: unsafe queries first, each label in the order it was given.

    Queries that have no id of their own, because they are lines of text, are numbered; their kind is the baseline's
    source. Nothing for more queries than a pack's table holds.
    """
    rows = [
        ScoredQuery.of(name, label, kind, float(similarity), alpha=baseline.alpha, s_base=baseline.s_base)
        for label in _LABELS
        for (name, kind), similarity in zip(
            _names(label, baseline, images), baseline.unsafe if label == "unsafe" else baseline.safe, strict=True
        )
    ]
    return {SIMILARITIES_FILE: encode_similarities(rows)} if len(rows) <= MAX_ROWS else {}


def _names(label: str, baseline: Baseline, images: Sequence[Item] | None) -> list[tuple[str, str]]:
    if images is not None:
        return [(item.id, item.kind) for item in images if item.label == label]
    return [(f"{label}-{number}", baseline.source) for number in range(1, len(baseline.requests[label]) + 1)]
