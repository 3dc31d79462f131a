"""Reads effective cross-modal attention where the model computes it, through transformers' attention interface.

a_j = mean over heads h of max over words t of softmax(q kᵀ scale)[t, j] (arXiv 2510.13698). The model's own
implementation (sdpa, eager, flash) answers every call unchanged; of the layers that are read, queries and keys go to
``ops.attention_peak_`` beside it, so that no attention matrix is asked for or written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ras_ext import ops
from ras_ext.compat import ALL_ATTENTION_FUNCTIONS, AttentionInterface, AttentionMaskInterface
from ras_ext.errors import ModelError
from ras_ext.explaining.decoder import Decoder
from ras_ext.explaining.places import Places

PREFIX = "ras_ext_"
# The registered functions are the same for all models; which layers are being read, and by whom, stands here.
_READERS: WeakKeyDictionary[nn.Module, AttentionReader] = WeakKeyDictionary()


class AttentionReader:
    """Context manager: inside it, one forward pass of a whole prompt fills :attr:`attention`.

    Args:
        decoder: the model's decoder layers.
        places: of the batch that will run.
        heads: ``(layer, head)`` pairs; one named twice is read twice.

    Attributes:
        attention: ``(n, B, J)`` f32 on the CPU, one row per head in the order of `heads`: the strongest attention any
            word pays to each visual token; 0 past a row's own visual tokens.

    Raises:
        ModelError: a head does not exist, the attention cannot be read, or, on leaving, a layer never ran.
    """

    def __init__(self, decoder: Decoder, places: Places, heads: Sequence[tuple[int, int]]) -> None:
        self.places, self.heads = places, tuple(heads)
        self.attention = torch.zeros(len(self.heads), *places.visual.shape)
        self._wanted: dict[nn.Module, list[tuple[int, int]]] = {}
        for row, (layer, head) in enumerate(self.heads):
            if not 0 <= layer < len(decoder.layers):
                raise ModelError(
                    f"the attention of layer {layer} was asked for and the model has {len(decoder.layers)}; "
                    "name layers below that"
                )
            self._wanted.setdefault(decoder.attention(layer), []).append((row, head))
        self._seen: set[nn.Module] = set()
        self._configs = decoder.configs()
        self._own = self._configs[0]._attn_implementation or "eager"

    def __enter__(self) -> AttentionReader:
        if self._own.startswith(PREFIX) or any(module in _READERS for module in self._wanted):
            raise ModelError("this model's attention is being read already; let that end first")
        name = PREFIX + self._own
        AttentionInterface.register(name, _beside(self._own))
        masks = AttentionMaskInterface()
        if self._own in masks:
            AttentionMaskInterface.register(name, masks[self._own])
        _READERS.update(dict.fromkeys(self._wanted, self))
        for config in self._configs:
            config._attn_implementation = name
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for config in self._configs:
            config._attn_implementation = self._own
        for module in self._wanted:
            _READERS.pop(module, None)
        if kind is not None:
            return
        if len(self._seen) != len(self._wanted):
            raise ModelError(
                "the model computed attention without transformers' attention interface, so nothing was read; "
                "load it with attn_implementation='sdpa' or 'eager'"
            )
        if not bool(torch.isfinite(self.attention).all()):
            raise ModelError("the model's attention is not finite; load it in bfloat16 or float32")

    @torch.no_grad()
    def read(self, module: nn.Module, q: torch.Tensor, k: torch.Tensor, scale: float | None, **kwargs: Any) -> None:
        """Takes queries ``(B, Hq, T, d)`` and keys ``(B, Hkv, T, d)`` of one layer, rotary embedding applied."""
        width = self.places.width
        if q.shape[2] != width or k.shape[2] != width:
            raise ModelError(
                f"attention is read over a whole prompt of {width} tokens, and the model ran {q.shape[2]} against "
                f"{k.shape[2]}; run it once, without a cache"
            )
        window = kwargs.get("sliding_window") or getattr(module, "sliding_window", None)
        odd = "caps its scores" if kwargs.get("softcap") else None
        odd = odd or ("is not causal" if not getattr(module, "is_causal", True) else None)
        odd = odd or (f"sees a window of {window} tokens only" if window and window < width else None)
        if odd:
            raise ModelError(f"the attention of {type(module).__name__} {odd}, which cannot be read; name other layers")
        q, k = (t if t.stride(-1) == 1 else t.contiguous() for t in (q, k))
        words, visual, real = (t.to(q.device) for t in (self.places.words, self.places.visual, self.places.real))
        for row, head in self._wanted[module]:
            if not 0 <= head < q.shape[1]:
                raise ModelError(f"head {head} was asked for and this layer has {q.shape[1]}; name heads below that")
            peak = torch.zeros(self.places.visual.shape, device=q.device)
            chosen = torch.tensor([head], dtype=torch.int32, device=q.device)
            scale = q.shape[-1] ** -0.5 if scale is None else scale
            ops.attention_peak_(peak, q, k, None, chosen, words, visual, real, scale, 1.0, 0)
            self.attention[row] = peak.cpu()
        self._seen.add(module)


def _beside(own: str) -> Callable[..., Any]:
    """The attention function that calls `own`, then hands queries and keys to whoever reads the layer."""

    def forward(
        module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        home = sys.modules[type(module).__module__]
        known: Any = getattr(home, "ALL_ATTENTION_FUNCTIONS", ALL_ATTENTION_FUNCTIONS)
        function = known.get_interface(own, getattr(home, "eager_attention_forward", None))
        if function is None:
            raise ModelError(f"{type(module).__name__} has no eager attention; load it with attn_implementation='sdpa'")
        config: Any = module.config
        config._attn_implementation = own  # flash attention looks its kernel up by this name
        try:
            result = function(module, query, key, value, *args, **kwargs)
        finally:
            config._attn_implementation = PREFIX + own
        reader = _READERS.get(module)
        if reader is not None:
            left = {name: entry for name, entry in kwargs.items() if name in ("sliding_window", "softcap")}
            reader.read(module, query, key, kwargs.get("scaling"), **left)
        return result

    return forward
