"""Calibrates where the risk is: which heads to read, the risk of a visual token, and what ρ may add to the score.

r = σ(α (S − S_base) + β (ρ − ρ_base)): ρ_base is midway between the mean ρ of unsafe and safe requests; β is the
maximum-likelihood slope of the labels with the first term held fixed, at least 0 and at most ln 99 / (1 − ρ_base), the
bound that α obeys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ras_ext import models
from ras_ext.calibration.baseline import similarities
from ras_ext.calibration.heads import TOP, choose_heads, read_masses
from ras_ext.calibration.prototypes import Advance
from ras_ext.calibration.token_risk import SEPARATES, TokenRisk, centers_of, fit, read_cosines, word_states
from ras_ext.conversation import Request
from ras_ext.errors import CalibrationError
from ras_ext.explaining.decoder import Decoder
from ras_ext.explaining.evidence import KEY
from ras_ext.items import Item
from ras_ext.models import Parts
from ras_ext.queries import built_in
from ras_ext.reformulate import reformulate
from ras_ext.vectors import SteeringVectors

FEWEST = 4  # requests with an image of each label: two to choose on, two to judge on


@dataclass(frozen=True)
class Judged:
    """Labelled requests with an image, each with the visual context and the similarity S that stages 1 and 2 gave."""

    requests: list[Request]
    unsafe: torch.Tensor
    contexts: list[str]
    similarity: torch.Tensor


def with_regions(
    model: Any,
    processor: Any,
    vectors: SteeringVectors,
    items: Sequence[Item],
    *,
    unsafe: Sequence[str] | None = None,
    safe: Sequence[str] | None = None,
    top: int = TOP,
    batch_size: int = 16,
    advance: Advance = lambda count: None,
) -> SteeringVectors:
    """The vectors with heads and token risk calibrated from labelled image requests; all else stays as it is.

    Args:
        vectors: made for this model.
        items: labelled requests; those without an image are passed over.
        unsafe, safe: text queries for the direction; ``None`` takes the built-in lists.
        top: how many heads to keep.
        advance: called with the number of requests done.

    Raises:
        CalibrationError: there are fewer than four requests with an image of either label.
        ModelError: the model's attention cannot be read.
    """
    parts = models.read(model)
    chosen = [item for item in items if item.image]
    requests = [item.request() for item in chosen]
    similarity, contexts = similarities(
        model,
        processor,
        requests,
        vectors.prompts,
        vectors.prototype_mixture.float(),
        gamma=vectors.gamma,
        n_score=vectors.n_score,
        batch_size=batch_size,
        advance=advance,
    )
    labels = torch.tensor([item.label == "unsafe" for item in chosen], dtype=torch.bool)
    judged = Judged(requests, labels, contexts, similarity)
    texts = (
        list(built_in("unsafe") if unsafe is None else unsafe),
        list(built_in("safe") if safe is None else safe),
    )
    return add_regions(parts, processor, vectors, judged, texts, top=top, batch_size=batch_size, advance=advance)


def add_regions(
    parts: Parts,
    processor: Any,
    vectors: SteeringVectors,
    judged: Judged,
    texts: tuple[Sequence[str], Sequence[str]],
    *,
    top: int = TOP,
    batch_size: int,
    advance: Advance,
) -> SteeringVectors:
    """As :func:`with_regions`, of requests that stages 1 and 2 have seen: two passes over them and one over the texts.

    Where the token risk does not separate, only the heads are stored, and a warning says so.
    """
    few = min(int(judged.unsafe.sum()), int((~judged.unsafe).sum()))
    if few < FEWEST:
        raise CalibrationError(
            f"the risk of image regions needs {FEWEST} requests with an image of each label, got {few} of one; "
            "give more, or leave regions out"
        )
    if not 1 <= top <= 4096:
        raise CalibrationError(f"the number of heads must lie in 1..4096, got {top}")
    decoder = Decoder(parts)
    asked = [
        reformulate(request, context, vectors.prompts)
        for request, context in zip(judged.requests, judged.contexts, strict=True)
    ]
    masses = read_masses(decoder, processor, asked, batch_size=batch_size, advance=advance)
    chosen = choose_heads(masses, judged.unsafe, top)
    heads = [head for head, _ in chosen]
    bad, good = (word_states(decoder, processor, text, batch_size=batch_size, advance=advance) for text in texts)
    directions, centers = bad - good, centers_of(masses, judged.unsafe)
    attention, cosines = read_cosines(
        decoder, processor, asked, heads, directions, centers, batch_size=batch_size, advance=advance
    )
    risk = fit(attention, cosines, judged.unsafe, directions, centers)
    record: dict[str, Any] = {
        "n_unsafe": int(judged.unsafe.sum()),
        "n_safe": int((~judged.unsafe).sum()),
        "head_gain": [gain for _, gain in chosen],
        "auc": None if risk is None else risk.auc,
    }
    doubts = list(vectors.calibration.get("warnings", ()))
    if chosen[0][1] <= 0:
        doubts.append("no attention head looks more at the image of unsafe requests than at that of safe ones")
    if risk is None or risk.auc < SEPARATES:
        told = "not at all" if risk is None else f"area under the ROC curve {risk.auc:.2f}"
        doubts.append(
            f"the risk of single image regions does not tell unsafe from safe requests ({told}), so it is left out; "
            "attention is shown without it"
        )
        risk = None
    else:
        record["beta"], record["rho_base"] = _weigh(risk, judged, vectors)
    return replace(
        vectors,
        attention_heads=tuple(heads),
        unsafe_direction=None if risk is None else risk.direction,
        center=None if risk is None else risk.center,
        token_risk=None if risk is None else {"layer": risk.layer, "slope": risk.slope, "bias": risk.bias},
        calibration={**vectors.calibration, KEY: record, "warnings": doubts},
    )


def _weigh(risk: TokenRisk, judged: Judged, vectors: SteeringVectors) -> tuple[float, float]:
    """β and ρ_base. Each label weighs half, as in the baseline."""
    rho, unsafe = risk.pooled.double(), judged.unsafe
    base = float(rho[unsafe].mean() + rho[~unsafe].mean()) / 2
    fixed = vectors.alpha * (judged.similarity.double() - vectors.s_base)
    weight = torch.where(unsafe, 0.5 / unsafe.sum(), 0.5 / (~unsafe).sum()).double()
    low, high = 0.0, math.log(99) / max(1 - base, 1e-3)

    def slope_of_loss(beta: float) -> float:
        wrong = torch.sigmoid(fixed + beta * (rho - base)) - unsafe.double()
        return float((weight * wrong * (rho - base)).sum())

    if slope_of_loss(low) >= 0:
        return 0.0, base
    if slope_of_loss(high) <= 0:
        return high, base
    for _ in range(60):  # the loss is convex in beta: halve until the double is exhausted
        middle = (low + high) / 2
        low, high = (middle, high) if slope_of_loss(middle) < 0 else (low, middle)
    return (low + high) / 2, base
