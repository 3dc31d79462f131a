"""Calibrates the risk of a single visual token: c_j = σ(slope (cos(h_j − center, unsafe direction) − bias)).

Direction: mean state of the words of unsafe text queries minus that of safe ones, at one layer. Center: midway between
the mean visual states of unsafe and safe image requests. Of all layers the one is taken whose cosines, pooled with the
attention, tell the two kinds of request best apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext.calibration.heads import Masses
from ras_ext.calibration.prototypes import Advance
from ras_ext.conversation import Request
from ras_ext.explaining.decoder import Decoder, encoded, prefill
from ras_ext.explaining.interface import AttentionReader
from ras_ext.explaining.looking import visual_states
from ras_ext.explaining.places import find_places

SEPARATES = 0.65  # area under the ROC curve on requests that chose nothing; chance is 0.5
_ODDS = math.log(9)  # a token like the mean of the unsafe requests has risk 0.9, one like that of the safe 0.1


@dataclass(frozen=True)
class TokenRisk:
    """A calibrated token risk and what it was read from.

    Attributes:
        layer, slope, bias, direction, center: of the formula; the last two ``(D,)`` f32.
        auc: area under the ROC curve of the pooled cosine, on requests that did not choose the layer (two folds).
        pooled: ``(n,)`` f32, ρ = Σ a_j c_j / Σ a_j of each request.
    """

    layer: int
    slope: float
    bias: float
    direction: torch.Tensor
    center: torch.Tensor
    auc: float
    pooled: torch.Tensor


def word_states(
    decoder: Decoder, processor: Any, queries: Sequence[str], *, batch_size: int, advance: Advance
) -> torch.Tensor:
    """Mean state of the words of text queries at every layer, ``(n_layers + 1, D)`` f32."""
    found = []
    for start in range(0, len(queries), batch_size):
        requests = [Request.of(None, query) for query in queries[start : start + batch_size]]
        inputs = encoded(decoder.parts, processor, requests)
        places = find_places(decoder.parts, inputs)
        means: list[torch.Tensor] = []

        def see(_place: int, states: torch.Tensor, places: Any = places, means: Any = means) -> None:
            weight = places.words.to(states.device)[..., None].float()
            means.append(((states.float() * weight).sum(1) / weight.sum(1)).cpu())

        with decoder.tapped(range(len(decoder.layers) + 1), see):
            prefill(decoder.parts, inputs)
        found.append(torch.stack(means))
        advance(len(requests))
    return torch.cat(found, 1).mean(1)


def read_cosines(
    decoder: Decoder,
    processor: Any,
    requests: Sequence[Request],
    heads: Sequence[tuple[int, int]],
    directions: torch.Tensor,
    centers: torch.Tensor,
    *,
    batch_size: int,
    advance: Advance,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """One forward pass: for each request the attention ``(J,)`` and the cosines ``(n_layers + 1, J)`` of its tokens."""
    attention, cosines = [], []
    for start in range(0, len(requests), batch_size):
        batch = requests[start : start + batch_size]
        inputs = encoded(decoder.parts, processor, batch)
        places = find_places(decoder.parts, inputs)
        found: list[torch.Tensor] = []

        def see(place: int, states: torch.Tensor, places: Any = places, found: Any = found) -> None:
            h = visual_states(states, places).float() - centers[place].to(states.device)
            found.append(torch.cosine_similarity(h, directions[place].to(states.device), dim=-1).cpu())

        with AttentionReader(decoder, places, heads) as reader, decoder.tapped(range(len(decoder.layers) + 1), see):
            prefill(decoder.parts, inputs)
        for row, count in enumerate(places.counts()):
            attention.append(reader.attention.mean(0)[row, :count])
            cosines.append(torch.stack([cosine[row, :count] for cosine in found]))
        advance(len(batch))
    return attention, cosines


def centers_of(masses: Masses, unsafe: torch.Tensor) -> torch.Tensor:
    """Midway between the mean visual states of both kinds of request at every layer, ``(n_layers + 1, D)``."""
    return (masses.states[:, unsafe].mean(1) + masses.states[:, ~unsafe].mean(1)) / 2


def fit(
    attention: Sequence[torch.Tensor],
    cosines: Sequence[torch.Tensor],
    unsafe: torch.Tensor,
    directions: torch.Tensor,
    centers: torch.Tensor,
) -> TokenRisk | None:
    """The token risk, or ``None`` where no layer has unsafe requests above safe ones.

    Layer, slope and bias use all requests; how well such a choice does is judged by choosing on every other request of
    each kind and looking at the rest, both ways round.
    """
    pooled = torch.stack([pool(a, c) for a, c in zip(attention, cosines, strict=True)], 1)
    fold = torch.zeros_like(unsafe)
    for kind in (unsafe, ~unsafe):
        fold[kind.nonzero()[::2, 0]] = True
    judged = [_auc(pooled[_best(pooled, unsafe, chooses)], unsafe, ~chooses) for chooses in (fold, ~fold)]
    layer = _best(pooled, unsafe, torch.ones_like(unsafe))
    row = pooled[layer]
    high, low = float(row[unsafe].mean()), float(row[~unsafe].mean())
    if not high > low:
        return None
    slope, bias = min(2 * _ODDS / (high - low), 1e5), (high + low) / 2
    tokens = [torch.sigmoid(slope * (c[layer] - bias)) for c in cosines]
    rho = torch.stack([pool(a, c) for a, c in zip(attention, tokens, strict=True)])
    return TokenRisk(layer, slope, bias, directions[layer], centers[layer], sum(judged) / 2, rho)


def pool(attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean of values ``(…, J)`` weighted by the attention ``(J,)``; 0 where nothing is attended to."""
    mass = attention.sum()
    return (values * attention).sum(-1) / mass if float(mass) > 0 else torch.zeros(values.shape[:-1])


def auc(unsafe: torch.Tensor, safe: torch.Tensor) -> float:
    """Area under the ROC curve: how often an unsafe request lies above a safe one, ties counting half."""
    above = (unsafe[:, None] > safe).float() + 0.5 * (unsafe[:, None] == safe).float()
    return float(above.mean())


def _auc(row: torch.Tensor, unsafe: torch.Tensor, among: torch.Tensor) -> float:
    return auc(row[among & unsafe], row[among & ~unsafe])


def _best(pooled: torch.Tensor, unsafe: torch.Tensor, among: torch.Tensor) -> int:
    return max(range(len(pooled)), key=lambda layer: _auc(pooled[layer], unsafe, among))
