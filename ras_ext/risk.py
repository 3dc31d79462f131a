"""Stage 2: how risky is the request, judged from the first tokens the model would answer to its reformulation.

S = cos(Σ_n γ^(n-1) softmax(z_n), prototype mixture); r = σ(α (S - S_base)) (arXiv 2510.13698).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext import ops
from ras_ext.conversation import Request
from ras_ext.generation import Greedy
from ras_ext.prompts import Prompts
from ras_ext.reformulate import reformulate, visual_contexts
from ras_ext.states import first_logits
from ras_ext.vectors import SteeringVectors


@dataclass(frozen=True)
class Risk:
    """What stages 1 and 2 found out about one request.

    Attributes:
        risk: r in [0, 1].
        similarity: S in [0, 1]; NaN where the model's logits were not finite (the risk is then 1).
        visual_context: the sentence of stage 1, empty without an image.
    """

    risk: float
    similarity: float
    visual_context: str


def score(logits: torch.Tensor, length: torch.Tensor, vectors: SteeringVectors) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarity and risk, each ``(B,)`` f32, of logits ``(B, N, V)`` with `length` real steps a row."""
    prototype = vectors.prototype_mixture.to(logits.device, torch.float32)
    return ops.risk_score(logits, length.to(torch.int32), prototype, vectors.gamma, vectors.alpha, vectors.s_base)


def judge(
    model: Any,
    processor: Any,
    requests: Sequence[Request],
    prompts: Prompts,
    n_score: int,
    write: Greedy | None = None,
    *,
    look: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """What the model would first say to the reformulated requests: logits ``(B, N, V)``, steps ``(B,)``, contexts.

    Without `look` there is no visual context: the safety prompt alone goes before the question. `write` goes on from
    what is shared (:mod:`ras_ext.prefix`); without it every prompt is run whole.
    """
    contexts = visual_contexts(model, processor, requests, prompts, write) if look else [""] * len(requests)
    judged = [reformulate(request, context, prompts) for request, context in zip(requests, contexts, strict=True)]
    logits, length = first_logits(model, processor, judged, n_score, write)
    return logits, length, contexts


def assess(
    model: Any,
    processor: Any,
    requests: Sequence[Request],
    vectors: SteeringVectors,
    write: Greedy | None = None,
    *,
    look: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Stages 1 and 2 for a batch: similarity ``(B,)``, risk ``(B,)`` on the model's device, visual contexts."""
    logits, length, contexts = judge(model, processor, requests, vectors.prompts, vectors.n_score, write, look=look)
    similarity, risk = score(logits, length, vectors)
    return similarity, risk, contexts
