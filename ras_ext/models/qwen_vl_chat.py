"""Qwen-VL-Chat: the first Qwen with eyes, as code of its checkpoint.

In the prompt an image is its path: one token a byte, filled up to 256 between two marks, in whose place the model puts
what its tower makes of the file. It does so in the pass without a cache, so the files must be there until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.models.encoding import Encoding, Inputs, image_files, lacks_tokens, left
from ras_ext.models.parts import Family

SYSTEM = "You are a helpful assistant."
_START, _END, _PAD = "<img>", "</img>", "<imgpad>"
_TURN, _TURN_ENDS, _TEXT_ENDS = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
LONGEST_PATH = 254  # bytes; of the 256 tokens the model looks at 255 and wants one of filling among them


@contextmanager
def inputs(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Iterator[Inputs]:
    """ChatML with the images' paths; the files stay until the answer is written."""
    with image_files(requests) as paths:
        rows = [torch.tensor(_tokens(tokenizer, *row)) for row in zip(requests, paths, strict=True)]
        yield {
            "input_ids": left(rows, tokenizer.convert_tokens_to_ids(_TEXT_ENDS)).to(model.device),
            "attention_mask": left([torch.ones_like(row) for row in rows], 0).to(model.device),
        }


def _tokens(tokenizer: Any, request: Request, paths: Sequence[str]) -> list[int]:
    """The prompt's tokens: turn by turn, so that a turn's mark within a text is text, as in the model's own chat."""
    turns = list(request.messages)
    if turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": [{"type": "text", "text": SYSTEM}]})
    begins, ends = (tokenizer.convert_tokens_to_ids(mark) for mark in (_TURN, _TURN_ENDS))
    line = _encode(tokenizer, "\n")
    rest, ids = iter(paths), []
    for turn in turns:
        parts = [{"text": part["text"]} if "text" in part else {"image": next(rest)} for part in turn["content"]]
        _refuse_long(part["image"] for part in parts if "image" in part)
        text = _encode(tokenizer, tokenizer.from_list_format(parts))
        ids += [begins, *_encode(tokenizer, turn["role"]), *line, *text, ends, *line]
    return [*ids, begins, *_encode(tokenizer, "assistant"), *line]


def _encode(tokenizer: Any, text: str) -> list[int]:
    # Of all special tokens only those of images and boxes may come out of a text.
    return list(tokenizer.encode(text, allowed_special=set(tokenizer.IMAGE_ST)))


def _refuse_long(paths: Iterator[str]) -> None:
    for path in paths:
        if len(path.encode()) > LONGEST_PATH:
            raise InputError(
                f"a path to an image may have {LONGEST_PATH} bytes and the folder for temporary files makes it "
                f"{len(path.encode())}; set TMPDIR to a shorter one"
            )


def check(config: Any, tokenizer: Any) -> str:
    """What of a tokenizer does not fit the config, in a clause."""
    if not hasattr(tokenizer, "from_list_format") or not hasattr(tokenizer, "IMAGE_ST"):
        return "it has no from_list_format"
    if wrong := lacks_tokens(tokenizer, (_START, _END, _PAD, _TURN, _TURN_ENDS, _TEXT_ENDS)):
        return wrong
    start = int(config.visual["image_start_id"])
    found = [int(tokenizer.convert_tokens_to_ids(mark)) for mark in (_START, _END, _PAD)]
    return "" if found == [start, start + 1, start + 2] else f"its {_START} is token {found[0]}, the model's {start}"


FAMILY = Family(
    name="qwen_vl_chat",
    model_types=("qwen",),
    config_has="visual",  # the text-only Qwen is of the same type and class
    final_norm="transformer.ln_f",
    layers="transformer.h",
    vision="transformer.visual",
    encoding=Encoding(
        inputs, check, ends=(_TURN_ENDS, _TURN, _TEXT_ENDS), marks=(_START, _END, _PAD), speaks_marks=True
    ),
)
