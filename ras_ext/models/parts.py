"""What the defence must know of a model: where its last norm and head are, and how it marks an image.

One :class:`Family` per architecture says where to look; :class:`Parts` holds what was found in a given model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ras_ext.errors import ModelError


@dataclass(frozen=True)
class Family:
    """How one family of models lays its parts.

    Args:
        name: the family's name in errors, docs and receipts.
        model_types: values of ``config.model_type`` that belong to it.
        final_norm: module path of the norm whose output the LM head reads.
        chat_template: used, with a warning, where a checkpoint brings none.
    """

    name: str
    model_types: tuple[str, ...]
    final_norm: str
    chat_template: str


@dataclass(frozen=True)
class Parts:
    """The parts of one loaded model that the defence touches."""

    family: Family
    model: Any  # a transformers model with generate()
    final_norm: nn.Module
    head: nn.Module
    hidden_size: int
    vocab_size: int
    n_layers: int
    image_token_id: int

    @property
    def device(self) -> torch.device:
        """Device of the last norm, where states are read and steered."""
        return next(self.final_norm.parameters()).device

    @torch.inference_mode()
    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """LM head over states ``(..., D)`` of any dtype, as f32 logits ``(..., V)`` on the head's device."""
        weight = next(self.head.parameters())
        return self.head(states.to(weight.device, weight.dtype)).float()


def find_parts(family: Family, model: Any) -> Parts:
    """Reads a model by its family's layout.

    Raises:
        ModelError: a part is not where the family has it.
    """
    try:
        final_norm = model.get_submodule(family.final_norm)
    except AttributeError:
        raise ModelError(
            f"a {family.name} model has its last norm at {family.final_norm!r}, which this "
            f"{type(model).__name__} lacks; load it with AutoModelForImageTextToText"
        ) from None
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(f"{type(model).__name__} has no LM head; load it with AutoModelForImageTextToText")
    text = model.config.get_text_config()
    image_token = getattr(model.config, "image_token_id", getattr(model.config, "image_token_index", None))
    if image_token is None:
        raise ModelError(f"the config of this {type(model).__name__} names no image token (image_token_id)")
    return Parts(
        family=family,
        model=model,
        final_norm=final_norm,
        head=head,
        hidden_size=text.hidden_size,
        vocab_size=head.weight.shape[0],
        n_layers=text.num_hidden_layers,
        image_token_id=image_token,
    )
