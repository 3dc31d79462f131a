"""One image prefill for the three prompts of a request: what they share is run once, and each stage goes on from there.

The prompts differ only behind the last image (behind the first token, where there is none). Of every row that beginning
is encoded by the processor once and run through the model once; a stage then runs what follows it in its own prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from ras_ext.compat import SHARES_PREFIXES
from ras_ext.conversation import Request
from ras_ext.generation import chat_template, encode, pad_token, render
from ras_ext.models import accepts, family_of

_KINDS = "mm_token_type_ids"  # which tokens are of an image, for models that place those in space


@dataclass(frozen=True)
class Beginning:
    """What all prompts of one row begin with: as text, up to its last image, and as tokens, images expanded."""

    text: str
    tokens: list[int]


class SharedPrefix:
    """The beginnings of a batch of requests, run through the model once; :meth:`run` goes on from them.

    Made by :func:`share`. Not for use by several threads at once: the stages take turns on one cache.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        template: str | None,
        beginnings: list[Beginning],
        images: dict[str, Any],
        kinds: list[list[int]] | None = None,
    ) -> None:
        self._model, self._processor, self._template = model, processor, template
        self._beginnings = beginnings
        self._pad = pad_token(model, processor)
        self._ids, self._mask = self._padded([row.tokens for row in beginnings])
        self._cache = DynamicCache(config=model.config.get_text_config())
        inputs = {"input_ids": self._ids, "attention_mask": self._mask, **images}
        if not _positions_in_space(model):
            inputs["position_ids"] = (self._mask.cumsum(-1) - 1).clamp_min(0)
        elif kinds is not None:
            inputs[_KINDS] = self._padded(kinds, fill=0)[0]
        if accepts(model, "logits_to_keep"):
            inputs["logits_to_keep"] = 1  # nobody reads them
        model(**inputs, past_key_values=self._cache, use_cache=True)

    @torch.inference_mode()
    def run(self, requests: Sequence[Request], **settings: Any) -> tuple[Any, int]:
        """``generate`` on one prompt for each row, all of which begin as the batch does.

        Returns what transformers returns and the width of the prompts. Raises ValueError for another beginning.
        """
        tails = [self._tail(request, row) for request, row in zip(requests, self._beginnings, strict=True)]
        ids, mask = self._padded(tails)
        self._crop()
        ids, mask = torch.cat([self._ids, ids], 1), torch.cat([self._mask, mask], 1)
        settings.setdefault("pad_token_id", self._pad)
        found = self._model.generate(input_ids=ids, attention_mask=mask, past_key_values=self._cache, **settings)
        return found, ids.shape[1]

    def _tail(self, request: Request, row: Beginning) -> list[int]:
        found = _tail(self._processor, render(self._processor, request, self._template), row)
        if found is None:
            raise ValueError("the prompt does not begin as the batch does")
        return found

    def _crop(self) -> None:
        """Forget what the stage before has added; what was there before it is not touched by adding."""
        width = self._ids.shape[1]
        layers: list[Any] = list(self._cache.layers)
        for layer in layers:
            if layer.get_seq_length() > width:
                layer.keys, layer.values = layer.keys[..., :width, :], layer.values[..., :width, :]
                if hasattr(layer, "cumulative_length"):
                    layer.cumulative_length = width

    def _padded(self, rows: list[list[int]], fill: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Token rows padded on the left, and the mask that says which are real, both (B, T) on the model's device."""
        width = max(map(len, rows))
        ids = [[self._pad if fill is None else fill] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self._model.device), torch.tensor(mask, device=self._model.device)


@torch.inference_mode()
def share(
    model: Any, processor: Any, requests: Sequence[Request], others: Sequence[Sequence[Request]], *, room: int = 128
) -> SharedPrefix | None:
    """The prefilled beginnings of ``requests``, or None where their prompts or the model's cache cannot be shared.

    ``others``: the requests of the other stages, as far as they are known, row by row: they must begin alike. ``room``:
    by how many tokens their prompts and answers can still grow.
    """
    longest = _longest(model)
    if not longest:
        return None
    template = chat_template(processor, model.config)
    batch = encode(model, processor, requests)
    ids, mask = batch.pop("input_ids"), batch.pop("attention_mask")
    given = batch.pop(_KINDS, None) if _positions_in_space(model) else None
    if any(value.ndim >= 2 and value.shape[:2] == ids.shape for value in batch.values()):
        return None  # something else goes with every token
    beginnings: list[Beginning] = []
    kinds: list[list[int]] = []
    for index, request in enumerate(requests):
        text = render(processor, request, template)
        row = _beginning(processor, text, ids[index][mask[index].bool()].tolist(), request.has_image)
        if row is None:
            return None
        tails = [_tail(processor, render(processor, stage[index], template), row) for stage in others]
        if any(tail is None or ids.shape[1] + len(tail) + room >= longest for tail in tails):
            return None
        beginnings.append(row)
        if given is not None:
            kinds.append(given[index][mask[index].bool()].tolist()[: len(row.tokens)])
    return SharedPrefix(model, processor, template, beginnings, batch, kinds or None)


def _longest(model: Any) -> float:
    """How long a prompt may be of which the model's cache keeps every key behind the ones before; 0 if it does not."""
    family = family_of(model.config)
    if not SHARES_PREFIXES or (family is not None and family.encoding is not None):
        return 0
    if _positions_in_space(model) and "_prepare_position_ids_for_generation" not in vars(type(model)):
        return 0  # nobody would go on from them
    text = model.config.get_text_config()
    layers: list[Any] = list(DynamicCache(config=text).layers)
    known = {"DynamicLayer", "DynamicSlidingWindowLayer"}
    if getattr(text, "cross_attention_layers", None) or any(type(layer).__name__ not in known for layer in layers):
        return 0
    # A window that is never left is none.
    return min((layer.sliding_window for layer in layers if hasattr(layer, "sliding_window")), default=math.inf)


def _positions_in_space(model: Any) -> bool:
    """True if image tokens have positions in height and width, from which the model itself goes on."""
    return any(hasattr(part, "rope_deltas") for part in (model, getattr(model, "model", None)))


def _beginning(processor: Any, text: str, tokens: list[int], has_image: bool) -> Beginning | None:
    """The beginning of a prompt whose tokens, images expanded, are ``tokens``; None if it cannot be told."""
    if not has_image:
        # Nothing worth sharing, but a row needs one token to begin with.
        return Beginning("", tokens[:1]) if len(tokens) > 1 else None
    cut = _behind_last_image(processor, text)
    if cut is None:
        return None
    tail = _tokens(processor, text[:cut], text[cut:])
    if not 0 < len(tail) < len(tokens) or tokens[-len(tail) :] != tail:
        return None
    return Beginning(text[:cut], tokens[: -len(tail)])


def _tail(processor: Any, text: str, row: Beginning) -> list[int] | None:
    """The tokens of a prompt behind its row's beginning; None if it does not begin so."""
    if row.text:
        cut = _behind_last_image(processor, text)
        return None if cut is None or text[:cut] != row.text else _tokens(processor, row.text, text[cut:]) or None
    tokenizer = processor.tokenizer
    begins = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    tokens = list(tokenizer(text, add_special_tokens=not begins)["input_ids"])
    return tokens[1:] if len(tokens) > 1 and tokens[:1] == row.tokens else None


def _behind_last_image(processor: Any, text: str) -> int | None:
    return max((text.rfind(mark) + len(mark) for mark in _marks(processor) if mark in text), default=None)


def _marks(processor: Any) -> list[str]:
    """What can mark an image in a prompt."""
    return [mark for name in ("image_token", "boi_token") if (mark := getattr(processor, name, None))]


def _tokens(processor: Any, head: str, tail: str) -> list[int]:
    """Tokens of ``tail`` where it stands: behind an image, which a tokenizer always takes for a token of its own."""
    mark = next(mark for mark in _marks(processor) if head.endswith(mark))
    alone = processor.tokenizer(mark, add_special_tokens=False)["input_ids"]
    together = processor.tokenizer(mark + tail, add_special_tokens=False)["input_ids"]
    return list(together[len(alone) :]) if together[: len(alone)] == alone else []
