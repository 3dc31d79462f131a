"""Chooses the attention heads that look at the image when there is harm in it, from labelled image requests.

A head's mass is Σ_j max_t A[t, j] over words t and visual tokens j. Heads are ranked by the mean mass of unsafe
requests above that of safe ones, both reformulated, since that is where the risk is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext.calibration.prototypes import Advance
from ras_ext.conversation import Request
from ras_ext.explaining.decoder import Decoder, encoded, prefill
from ras_ext.explaining.interface import AttentionReader
from ras_ext.explaining.looking import visual_states
from ras_ext.explaining.places import find_places

TOP = 3  # heads that are kept


@dataclass(frozen=True)
class Masses:
    """What one pass over n requests tells of every head and layer.

    Attributes:
        heads: all ``(layer, head)`` pairs.
        mass: ``(len(heads), n)`` f32.
        states: ``(n_layers + 1, n, D)`` f32, each request's mean visual state at every layer.
    """

    heads: list[tuple[int, int]]
    mass: torch.Tensor
    states: torch.Tensor


def read_masses(
    decoder: Decoder, processor: Any, requests: Sequence[Request], *, batch_size: int, advance: Advance
) -> Masses:
    """One forward pass over requests that all have an image."""
    heads = [(layer, head) for layer in range(len(decoder.layers)) for head in range(decoder.n_heads())]
    mass, means = [], []
    for start in range(0, len(requests), batch_size):
        batch = requests[start : start + batch_size]
        inputs = encoded(decoder.parts, processor, batch)
        places = find_places(decoder.parts, inputs)
        here = places.visual >= 0
        found: list[torch.Tensor] = []

        def see(_place: int, states: torch.Tensor, places: Any = places, here: Any = here, found: Any = found) -> None:
            weight = here.to(states.device)[..., None].float()
            found.append(((visual_states(states, places).float() * weight).sum(1) / weight.sum(1)).cpu())

        with AttentionReader(decoder, places, heads) as reader, decoder.tapped(range(len(decoder.layers) + 1), see):
            prefill(decoder.parts, inputs)
        mass.append(reader.attention.sum(2))
        means.append(torch.stack(found))
        advance(len(batch))
    return Masses(heads, torch.cat(mass, 1), torch.cat(means, 1))


def choose_heads(masses: Masses, unsafe: torch.Tensor, top: int = TOP) -> list[tuple[tuple[int, int], float]]:
    """The `top` heads with what they gain: mean mass of unsafe requests (``(n,)`` bool) above that of safe ones."""
    gain = masses.mass[:, unsafe].mean(1) - masses.mass[:, ~unsafe].mean(1)
    best = gain.argsort(descending=True, stable=True)[:top].tolist()
    return [(masses.heads[index], float(gain[index])) for index in best]
