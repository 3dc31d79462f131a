"""What a calibration found, each figure with a word on whether it is good and a sentence on what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ras_ext.calibration.baseline import READS
from ras_ext.calibration.findings import AMBIGUOUS, FEW_REFUSALS, MANY_WAYS, NARROW
from ras_ext.calibration.longer import GOOD_ENOUGH
from ras_ext.vectors import SteeringVectors

_ERRORS = 0.1  # of the calibration's own queries on the wrong side of the baseline
_SOURCES = {
    "images": "Read from labelled image requests, which is what it will judge.",
    "rendered": "Read from the text queries, written into images; labelled pictures would say more.",
    "text": f"Read from text: written into images the queries were told apart by less than {READS}; send pictures.",
}


@dataclass(frozen=True)
class Finding:
    """One figure. `good` is None for what is neither good nor bad."""

    what: str
    value: str
    good: bool | None
    meaning: str

    @property
    def verdict(self) -> str:
        """The word for `good`."""
        return {True: "good", False: "doubtful", None: ""}[self.good]


def findings(vectors: SteeringVectors) -> list[Finding]:
    """All figures of a calibration, those first that decide most."""
    record: Mapping[str, Any] = vectors.calibration
    high, lowest = record["similarity_unsafe"]
    low, highest = record["similarity_safe"]
    found = [
        Finding(
            "Separation of the similarities",
            f"{high - low:.3f} (unsafe: mean {high:.3f}, lowest {lowest:.3f}; "
            f"safe: mean {low:.3f}, highest {highest:.3f})",
            high - low >= NARROW,
            f"Distance of the two means; below {NARROW} the threshold between them is not to be trusted.",
        ),
        Finding("Baseline S_base", f"{vectors.s_base:.4f}", record["source"] != "text", _SOURCES[record["source"]]),
        Finding("Slope α", f"{vectors.alpha:.3f}", None, "How steeply the risk rises with S; it is 0.99 at S = 1."),
        Finding(
            "Unsafe below the baseline",
            f"{record['false_negatives']:.1%}",
            record["false_negatives"] <= _ERRORS,
            "Of the calibration's own unsafe requests; these get a risk below one half.",
        ),
        Finding(
            "Safe above the baseline",
            f"{record['false_positives']:.1%}",
            record["false_positives"] <= _ERRORS,
            "Of the calibration's own safe requests; these are pulled toward refusal.",
        ),
        Finding(
            "Unsafe text queries refused",
            f"{record['refused']:.0%}",
            record["refused"] >= FEW_REFUSALS,
            f"Below {FEW_REFUSALS:.0%} the prototypes hardly stand for refusal.",
        ),
        Finding(
            "Spread of the prototype",
            f"{record['prototype_spread']:.2g}",
            record["prototype_spread"] <= MANY_WAYS,
            f"0 means that it always refuses in the same words; above {MANY_WAYS} one mean fits few of them.",
        ),
        Finding(
            "First token of a refusal",
            repr(record["first_token"]),
            record["first_token_ambiguity"] <= AMBIGUOUS,
            f"{record['first_token_ambiguity']:.0%} of the safe answers begin with it; above {AMBIGUOUS:.0%} "
            "harmless requests will be refused.",
        ),
    ]
    return found + _context(record) + _trials(vectors) + _regions(record)


def _trials(vectors: SteeringVectors) -> list[Finding]:
    trials = vectors.calibration["trials"]
    if not trials:
        return [Finding("Steered tokens", f"{vectors.n_tokens}", None, "As in the paper; nothing longer was tried.")]
    found = [
        Finding(
            f"Steering {one['n_tokens']} tokens",
            f"harm in {one['complied']:.1%}, safe refused {one['over_refusal']:.1%}",
            one["complied"] <= GOOD_ENOUGH,
            f"Answers at full dose, under the risk of each request; at most {GOOD_ENOUGH:.0%} of the unsafe ones may "
            "still hold the harm.",
        )
        for one in trials
    ]
    return [*found, Finding("Steered tokens, chosen", f"{vectors.n_tokens}", None, "The fewest that keep it out.")]


def _context(record: Mapping[str, Any]) -> list[Finding]:
    trade = record.get("context")
    if not trade:
        return []
    without = trade["without"]
    needed = "needed" if trade["needed"] else "not needed: the safety prompt alone makes no more errors"
    return [
        Finding(
            "Without the visual context",
            f"unsafe below {without['false_negatives']:.1%}, safe above {without['false_positives']:.1%}",
            None,
            f"The same requests without stage 1; the context is {needed}.",
        )
    ]


def _regions(record: Mapping[str, Any]) -> list[Finding]:
    regions = record.get("regions")
    if not regions or regions.get("auc") is None:
        return []
    return [
        Finding(
            "Risk by region",
            f"area under the ROC curve {regions['auc']:.2f}",
            None,
            "How well the risk of image regions alone tells the requests apart; 0.5 is chance.",
        )
    ]
