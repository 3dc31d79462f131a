"""InternLM-XComposer2.5, as code of its checkpoint: tiles of 560 pixels, and low-rank weights for image tokens alone.

Its prompt is made of embeddings, words and image features one after the other, with a mask that says which are which.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ras_ext.conversation import Request
from ras_ext.errors import ModelError
from ras_ext.models.encoding import Encoding, Inputs, image_files, lacks_tokens, left
from ras_ext.models.parts import Family

_TURN, _TURN_ENDS, _TEXT_ENDS = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]", "</s>"
_IMAGE = "<ImageHere>"
TILES_OF_ONE, TILES_OF_MANY = 24, 6  # the most tiles of an image alone, and of each of several, as in the model's chat


@contextmanager
def inputs(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Iterator[Inputs]:
    """Embeddings of words and images, which are read while they are made: no file outlives that."""
    if "hd_num" not in inspect.signature(model.encode_img).parameters:
        raise ModelError(f"this {type(model).__name__} reads images without tiles: it is not InternLM-XComposer2.5")
    with image_files(requests) as paths:
        rows = [_embedded(model, tokenizer, *row) for row in zip(requests, paths, strict=True)]
    padding = model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(_TEXT_ENDS)]
    yield {
        "inputs_embeds": left([embeddings for embeddings, _ in rows], padding),
        "attention_mask": left([torch.ones_like(image, dtype=torch.long) for _, image in rows], 0),
        "im_mask": left([image for _, image in rows], False),
    }


def _embedded(model: Any, tokenizer: Any, request: Request, paths: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """A prompt's embeddings ``(T, D)``, and which of them are of an image ``(T,)``."""
    words = model.get_input_embeddings()
    rows, of_images = [], []
    for index, text in enumerate(prompt(request).split(_IMAGE)):
        if not index or text:  # the first one brings the token that begins a text
            ids = tokenizer(text, add_special_tokens=not index)["input_ids"]
            rows.append(words(torch.tensor(ids, dtype=torch.long, device=model.device)))
            of_images.append(torch.zeros(len(ids), dtype=torch.bool, device=model.device))
        if index < len(paths):
            tiles = TILES_OF_ONE if len(paths) == 1 else TILES_OF_MANY
            seen = model.encode_img(paths[index], tiles)[0].to(rows[0])
            rows.append(seen)
            of_images.append(torch.ones(len(seen), dtype=torch.bool, device=model.device))
    return torch.cat(rows), torch.cat(of_images)


def prompt(request: Request) -> str:
    """The prompt with a mark for each image.

    A single image goes before everything, as the model's chat puts it; several stand numbered in their turns.
    """
    alone, number = len(request.images) == 1, 0
    text = _IMAGE if alone else ""
    for turn in request.messages:
        text += f"{_TURN}{turn['role']}\n"
        for part in turn["content"]:
            if "text" in part:
                text += part["text"]
            elif not alone:
                number += 1
                text += f"Image{number} {_IMAGE}; "
        text += f"{_TURN_ENDS}\n"
    return f"{text}{_TURN}assistant\n"


def check(_config: Any, tokenizer: Any) -> str:
    """What of a tokenizer does not fit, in a clause."""
    return lacks_tokens(tokenizer, (_TURN, _TURN_ENDS, _TEXT_ENDS))


FAMILY = Family(
    name="internlm_xcomposer2",
    # Its class has the type of the text-only InternLM2, its checkpoint one of its own.
    model_types=("internlmxcomposer2", "internlm2"),
    architectures=("InternLMXComposer2ForCausalLM",),
    final_norm="model.norm",
    layers="model.layers",
    vision="vit",
    encoding=Encoding(inputs, check, ends=(_TURN_ENDS, _TEXT_ENDS), marks=(_IMAGE,)),
)
