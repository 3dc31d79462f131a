"""Says in words what is doubtful about a calibration, so that nobody ships one that cannot work."""

from __future__ import annotations

from ras_ext.calibration.baseline import Baseline
from ras_ext.calibration.prototypes import Prototypes
from ras_ext.registry.evidence import MAX_ROWS

FEW_REFUSALS = 0.8
MANY_WAYS = 0.25
AMBIGUOUS = 0.1
NARROW = 0.3


def doubts(prototypes: Prototypes, baseline: Baseline, first_token: str) -> list[str]:
    """One sentence per doubt; empty when nothing stands out."""
    found = []
    if prototypes.refused < FEW_REFUSALS:
        found.append(
            f"the model refused only {prototypes.refused:.0%} of the unsafe text queries, so its prototypes hardly "
            "stand for refusal; give queries that it refuses, or a model that is aligned in text"
        )
    if prototypes.spread > MANY_WAYS:
        found.append(
            f"the model refuses in many ways (spread {prototypes.spread:.2f}): a mean prototype fits few of them; "
            "expect risks that are too low"
        )
    if prototypes.ambiguity > AMBIGUOUS:
        found.append(
            f"{prototypes.ambiguity:.0%} of the safe answers begin with the refusal's first token {first_token!r}, "
            "which decides most of the score; expect refusals of harmless requests"
        )
    if prototypes.safe_refused > AMBIGUOUS:
        found.append(
            f"the model already refuses {prototypes.safe_refused:.0%} of the safe text queries; check those queries"
        )
    if baseline.gap < NARROW:
        found.append(
            f"harmful and benign requests are hardly told apart (mean similarity {float(baseline.unsafe.mean()):.2f} "
            f"against {float(baseline.safe.mean()):.2f}); the threshold between them is not to be trusted"
        )
    if baseline.source == "text":
        found.append(
            "the baseline and the schedule come from text queries, since there were no image queries and the model "
            "cannot read rendered ones; give --images to calibrate on the requests that matter"
        )
    if (scored := len(baseline.unsafe) + len(baseline.safe)) > MAX_ROWS:
        found.append(
            f"the pack cannot show the similarities behind its baseline: {scored} queries were scored, "
            f"its table holds {MAX_ROWS}"
        )
    return found
