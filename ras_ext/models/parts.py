"""What the defence must know of a model: where its last norm and head are, and how it marks an image.

One :class:`Family` per architecture says where to look; :class:`Parts` holds what was found in a given model.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ras_ext.compat import module_path, text_config
from ras_ext.errors import ModelError
from ras_ext.models.encoding import Encoding
from ras_ext.models.pair import Pairing, image_token_id
from ras_ext.models.placement import device_of, dtype_of


@dataclass(frozen=True)
class Family:
    """How one family of models lays its parts.

    Args:
        name: the family's name in errors, docs and receipts.
        model_types: values of ``config.model_type`` that belong to it.
        final_norm: module path of the norm whose output the LM head reads; runs once a forward pass.
        layers: module path of the list of decoder layers.
        vision: module path of the vision tower; runs in passes that read an image, and in no others.
        chat_template: used, with a warning, where a checkpoint brings none; ``None`` where checkpoints differ.
        vision_types: values of ``config.vision_config.model_type`` it is limited to; empty for any.
        nested_images: its processor wants the images of a batch as one list per request.
        pairing: how a tokenizer and an image processor serve where its own processor cannot be had.
        even_batches: a row with fewer images than its neighbours would see their padding; such rows run apart.
        encoding: how requests become inputs where the model is code of the checkpoint and has no processor at all.
        architectures: values of ``config.architectures`` it is limited to; empty for any.
        config_has: an entry of the config that it is limited to; empty for none.
    """

    name: str
    model_types: tuple[str, ...]
    final_norm: str
    layers: str
    vision: str
    chat_template: str | None = None
    vision_types: tuple[str, ...] = ()
    nested_images: bool = False
    pairing: Pairing | None = None
    even_batches: bool = False
    encoding: Encoding | None = None
    architectures: tuple[str, ...] = ()
    config_has: str = ""

    def fits(self, config: Any) -> bool:
        """Whether a model of this config belongs to the family."""
        tower = getattr(getattr(config, "vision_config", None), "model_type", None)
        return (
            getattr(config, "model_type", None) in self.model_types
            and (not self.vision_types or tower in self.vision_types)
            and (not self.architectures or not {*self.architectures}.isdisjoint(config.architectures or ()))
            and (not self.config_has or bool(getattr(config, self.config_has, None)))
        )

    @property
    def auto_class(self) -> str:
        """What opens its models."""
        return "AutoModelForCausalLM (trust_remote_code=True)" if self.encoding else "AutoModelForImageTextToText"


@dataclass(frozen=True)
class Parts:
    """The parts of one loaded model that the defence touches.

    Attributes:
        layers: the decoder layers in order.
        vision: the vision tower.
        linear_head: the model's logits are the head's output as it stands, neither capped nor scaled.
        image_token_id: ``None`` where images are no tokens of the vocabulary.
    """

    family: Family
    model: Any  # a transformers model with generate()
    final_norm: nn.Module
    head: nn.Module
    hidden_size: int
    vocab_size: int
    n_layers: int
    image_token_id: int | None
    layers: nn.ModuleList
    vision: nn.Module
    linear_head: bool = True

    @property
    def device(self) -> torch.device:
        """Device on which the last norm runs, where states are read and steered."""
        return device_of(self.final_norm)

    @torch.inference_mode()
    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """LM head over states ``(..., D)`` of any dtype, as f32 logits ``(..., V)`` on the device the head runs on.

        The states are rounded as the model rounds them: to the head's type, or to the norm's where the head's weights
        are quantised.
        """
        # Weights may be integers: states cast to those would be cut down to a few whole numbers.
        dtype = dtype_of(self.head) or dtype_of(self.final_norm)
        return self.head(states.to(device_of(self.head), dtype)).float()


def accepts(model: Any, name: str) -> bool:
    """True if the model's forward pass takes an input of this name."""
    return name in inspect.signature(model.forward).parameters


def find_parts(family: Family, model: Any, *, linear_head: bool = True) -> Parts:
    """Reads a model by its family's layout.

    Raises:
        ModelError: a part is not where the family has it.
    """
    family = replace(
        family,
        final_norm=module_path(model, family.final_norm),
        layers=module_path(model, family.layers),
        vision=module_path(model, family.vision),
    )
    final_norm = _module(family, model, "last norm", family.final_norm)
    layers = _module(family, model, "decoder layers", family.layers)
    vision = _module(family, model, "vision tower", family.vision)
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(f"{type(model).__name__} has no LM head; load it with {family.auto_class}")
    text = text_config(model.config)
    image_token = image_token_id(model.config)
    if image_token is None and family.encoding is None:
        raise ModelError(f"the config of this {type(model).__name__} names no image token (image_token_id)")
    return Parts(
        family=family,
        model=model,
        final_norm=final_norm,
        head=head,
        hidden_size=text.hidden_size,
        vocab_size=getattr(head, "out_features", None) or head.weight.shape[0],  # packed weights have another shape
        n_layers=text.num_hidden_layers,
        image_token_id=image_token,
        layers=layers,
        vision=vision,
        linear_head=linear_head,
    )


def _module(family: Family, model: Any, what: str, path: str) -> Any:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise ModelError(
            f"a {family.name} model has its {what} at {path!r}, which this "
            f"{type(model).__name__} lacks; load it with {family.auto_class}"
        ) from None
