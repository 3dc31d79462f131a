"""One look at a batch of requests: how strongly words attend to each visual token, and those tokens' states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext.conversation import Request
from ras_ext.explaining.decoder import Decoder, encoded, prefill
from ras_ext.explaining.interface import AttentionReader
from ras_ext.explaining.places import Places, find_places


@dataclass(frozen=True)
class Look:
    """What one forward pass over B prompts showed.

    Attributes:
        attention: ``(B, J)`` f32 on the CPU, effective cross-modal attention a_j, the mean over the heads read; 0 past
            a row's own visual tokens.
        states: ``(B, J, D)`` of the visual tokens at the layer asked for, in the model's type and on its device;
            ``None`` if none was.
        places: where the tokens stand.
        inputs: what the model was given.
    """

    attention: torch.Tensor
    states: torch.Tensor | None
    places: Places
    inputs: dict[str, torch.Tensor]


def visual_states(states: torch.Tensor, places: Places) -> torch.Tensor:
    """Of states ``(B, T, D)`` those of the visual tokens, ``(B, J, D)``; past a row's own the first token's."""
    index = places.visual.long().clamp(min=0).to(states.device)[..., None]
    return states.gather(1, index.expand(-1, -1, states.shape[-1]))


def look(
    decoder: Decoder, processor: Any, requests: Sequence[Request], heads: Sequence[tuple[int, int]], layer: int | None
) -> Look:
    """Runs the requests once and reads `heads` (``(layer, head)`` pairs) and the states at `layer`.

    Raises:
        ModelError: the attention cannot be read, or there is no such head or layer.
    """
    inputs = encoded(decoder.parts, processor, requests)
    places = find_places(decoder.parts, inputs)
    seen: list[torch.Tensor] = []

    def see(_place: int, states: torch.Tensor) -> None:
        seen.append(visual_states(states, places))

    with AttentionReader(decoder, places, heads) as reader, decoder.tapped([] if layer is None else [layer], see):
        prefill(decoder.parts, inputs)
    return Look(reader.attention.mean(0), seen[0] if seen else None, places, inputs)
