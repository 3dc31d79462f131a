"""The decoder layers of a model: their attention modules, and the states between them.

States are counted as transformers counts ``hidden_states``: 0 enters the first layer, n_layers leaves the last norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ras_ext.compat import AttentionInterface, require, text_config
from ras_ext.conversation import Request
from ras_ext.errors import ModelError
from ras_ext.generation import encode
from ras_ext.models import Parts, accepts

See = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True)
class Decoder:
    """The stack of decoder layers of one model.

    Raises:
        ModelError: where the model looks cannot be told.
    """

    parts: Parts

    def __post_init__(self) -> None:
        require(AttentionInterface, "reading a model's attention needs")
        if self.parts.image_token_id is None:
            raise ModelError(
                f"where a {self.parts.family.name} model looks cannot be told: its images are no tokens of the prompt; "
                "leave explanations and the evidence from attention out"
            )

    @property
    def layers(self) -> nn.ModuleList:
        """The layers in order."""
        return self.parts.layers

    def attention(self, layer: int) -> nn.Module:
        """The self-attention of a layer.

        Raises:
            ModelError: the layer has none (it mixes tokens otherwise).
        """
        module = getattr(self.layers[layer], "self_attn", None)
        if module is None or not hasattr(module, "config"):
            raise ModelError(f"layer {layer} of this {self.parts.family.name} model has no attention to read")
        return module

    def configs(self) -> list[Any]:
        """The config objects that name the attention implementation of the stack, each once."""
        stack = self.parts.model.get_submodule(self.parts.family.layers.rpartition(".")[0])
        found = {id(m.config): m.config for m in stack.modules() if hasattr(m, "config")}
        return list(found.values())

    @contextmanager
    def tapped(self, places: Iterable[int], see: See) -> Iterator[None]:
        """Shows the states ``(B, T, D)`` at some places, as ``see(place, states)``, while a forward pass runs."""
        handles = []
        try:
            for place in places:
                if not 0 <= place <= len(self.layers):
                    raise ModelError(f"there are no states at layer {place}; this model has 0..{len(self.layers)}")
                if place == len(self.layers):
                    handles.append(self.parts.final_norm.register_forward_hook(_after(place, see)))
                else:
                    hook = _before(place, see)
                    handles.append(self.layers[place].register_forward_pre_hook(hook, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def n_heads(self) -> int:
        """Query heads of a layer."""
        return int(text_config(self.parts.model.config).num_attention_heads)


def encoded(parts: Parts, processor: Any, requests: Iterable[Request]) -> dict[str, torch.Tensor]:
    """Model inputs of a batch of requests."""
    return encode(parts.model, processor, list(requests))


@torch.inference_mode()
def prefill(parts: Parts, inputs: dict[str, torch.Tensor]) -> None:
    """One forward pass over whole prompts, nothing kept but what taps and readers take."""
    settings: dict[str, Any] = {"use_cache": False}
    if accepts(parts.model, "logits_to_keep"):
        settings["logits_to_keep"] = 1
    parts.model(**inputs, **settings)


def _before(place: int, see: See) -> Callable[..., None]:
    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(place, args[0] if args else kwargs["hidden_states"])

    return hook


def _after(place: int, see: See) -> Callable[..., None]:
    def hook(_module: Any, _args: Any, output: torch.Tensor) -> None:
        see(place, output)

    return hook
