"""Where in an encoded batch the visual tokens, the words and the padding stand, as the compiled operators want it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ras_ext.errors import ModelError
from ras_ext.models import Parts


@dataclass(frozen=True)
class Places:
    """The tokens of a batch of B prompts, T wide.

    Attributes:
        visual: ``(B, J)`` i32, positions of each row's visual tokens in order; -1 past a row's own number.
        words: ``(B, T)`` bool, real tokens that are no visual ones.
        real: ``(B, 2)`` i32, first and past-last real token of each row.
    """

    visual: torch.Tensor
    words: torch.Tensor
    real: torch.Tensor

    @property
    def width(self) -> int:
        """T."""
        return int(self.words.shape[1])

    def counts(self) -> list[int]:
        """The number of visual tokens of each row."""
        return (self.visual >= 0).sum(1).tolist()


def find_places(parts: Parts, inputs: dict[str, torch.Tensor]) -> Places:
    """Reads the places off ``input_ids`` and ``attention_mask``.

    Raises:
        ModelError: a row's real tokens are not in one piece, so that no range of keys describes them.
    """
    ids = inputs["input_ids"]
    real = inputs.get("attention_mask", torch.ones_like(ids)).bool()
    count = real.sum(1)
    first = real.int().argmax(1)
    last = ids.shape[1] - real.flip(1).int().argmax(1)
    if not bool((last - first == count).all()):
        raise ModelError("the prompt's padding stands between its tokens; load a processor that pads at one end")
    image = (ids == parts.image_token_id) & real
    most = int(image.sum(1).max())
    # A stable sort brings the visual tokens to the front and keeps their order.
    order = (~image).int().argsort(dim=1, stable=True)[:, :most]
    visual = torch.where(image.gather(1, order), order, -1)
    return Places(visual.int().contiguous(), real & ~image, torch.stack([first, last], 1).int().contiguous())
