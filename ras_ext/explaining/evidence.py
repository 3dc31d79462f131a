"""The evidence from attention in the score: r = σ(α (S − S_base) + β (ρ − ρ_base)), off unless asked for.

ρ = Σ a_j c_j / Σ a_j over the visual tokens of the reformulated request, by ``ops.region_risk``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext import ops
from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.explaining.decoder import Decoder
from ras_ext.explaining.looking import look
from ras_ext.models import Parts
from ras_ext.reformulate import reformulate
from ras_ext.vectors import SteeringVectors

KEY = "regions"  # of the calibration record
KINDS = ("attention",)


@dataclass(frozen=True)
class Evidence:
    """β and ρ_base, as calibrated."""

    beta: float
    rho_base: float


def evidence_of(vectors: SteeringVectors) -> Evidence:
    """What the vectors say of the evidence from attention.

    Raises:
        InputError: they hold none that can be used.
    """
    record = vectors.calibration.get(KEY)
    found: dict[str, Any] = record if isinstance(record, dict) else {}
    beta: Any = found.get("beta")
    base: Any = found.get("rho_base")
    if vectors.token_risk is None or not vectors.attention_heads or not (_number(beta) and _number(base)):
        raise InputError(
            f"the vectors {vectors.name!r} hold no calibrated evidence from attention; calibrate with labelled image "
            "requests, or leave evidence out"
        )
    if not (beta >= 0 and 0 <= base <= 1):
        raise InputError(
            f"the evidence from attention of {vectors.name!r} must have beta from 0 and rho_base from 0 to 1, "
            f"got {beta} and {base}; calibrate again"
        )
    if beta == 0:
        warnings.warn(
            f"calibration found that attention adds nothing to the score of {vectors.name!r} (beta is 0): risks "
            "stay as they are",
            stacklevel=4,
        )
    return Evidence(float(beta), float(base))


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def region_risks(
    states: torch.Tensor, attention: torch.Tensor, region: torch.Tensor, n_regions: int, vectors: SteeringVectors
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`ops.region_risk` with the token risk of the vectors: mass ``(B, R)``, risk ``(B, R)`` and pooled ``(B,)``.

    All on the states' device; `attention` ``(B, J)`` f32 and `region` ``(B, J)`` i32 may lie elsewhere.
    """
    token_risk, direction, center = vectors.token_risk, vectors.unsafe_direction, vectors.center
    if token_risk is None or direction is None or center is None:
        raise InputError(f"the vectors {vectors.name!r} hold no token risk; calibrate with labelled image requests")
    device = states.device
    return ops.region_risk(
        attention.to(device),
        states,
        direction.to(device, torch.float32),
        center.to(device, torch.float32),
        float(token_risk["slope"]),
        float(token_risk["bias"]),
        region.to(device),
        n_regions,
    )


def pooled_risk(
    decoder: Decoder, processor: Any, requests: Sequence[Request], contexts: Sequence[str], vectors: SteeringVectors
) -> torch.Tensor:
    """ρ of each request after reformulation, ``(B,)`` f32 on the CPU; NaN for those without an image."""
    rho = torch.full((len(requests),), math.nan)
    seen = [index for index, request in enumerate(requests) if request.has_image]
    if seen and vectors.token_risk is not None:
        asked = [reformulate(requests[index], contexts[index], vectors.prompts) for index in seen]
        found = look(decoder, processor, asked, vectors.attention_heads, int(vectors.token_risk["layer"]))
        assert found.states is not None
        region = torch.where(found.places.visual >= 0, 0, -1).int()
        rho[seen] = region_risks(found.states, found.attention, region, 1, vectors)[2].cpu()
    return rho


def with_evidence(
    similarity: torch.Tensor, risk: torch.Tensor, rho: torch.Tensor, vectors: SteeringVectors, evidence: Evidence
) -> torch.Tensor:
    """The risk ``(B,)`` with ρ taken into account; requests without an image, and those at risk 1 because they could
    not be judged, keep theirs."""
    rho = rho.to(risk.device)
    raised = torch.sigmoid(vectors.alpha * (similarity - vectors.s_base) + evidence.beta * (rho - evidence.rho_base))
    return torch.where(rho.isnan() | (risk >= 1) | similarity.isnan(), risk, raised)


class AttentionEvidence:
    """What a guard asks when its score is to take the evidence into account.

    Raises:
        InputError: `kind` is unknown, or the vectors hold no calibrated evidence.
    """

    def __init__(self, parts: Parts, processor: Any, vectors: SteeringVectors, kind: str) -> None:
        if kind not in KINDS:
            raise InputError(f"evidence must be one of {', '.join(KINDS)}, or None, got {kind!r}")
        self._calibrated = evidence_of(vectors)
        self._decoder, self._processor, self._vectors = Decoder(parts), processor, vectors

    def weigh(
        self, requests: Sequence[Request], contexts: Sequence[str], similarity: torch.Tensor, risk: torch.Tensor
    ) -> torch.Tensor:
        """The risk ``(B,)`` of requests that stages 1 and 2 have seen, with ρ taken into account."""
        rho = pooled_risk(self._decoder, self._processor, requests, contexts, self._vectors)
        return with_evidence(similarity, risk, rho, self._vectors, self._calibrated)
