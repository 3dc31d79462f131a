"""Families whose model is code of the checkpoint: there is no processor, only a tokenizer, and images go in by path.

What it does with a batch of requests, each family says in an :class:`Encoding`; :class:`Tokenized` is the checkpoint's
tokenizer in a processor's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Encoding:
    """How a family takes requests.

    Args:
        inputs: ``(model, tokenizer, requests)`` → a context that gives what ``generate`` takes for the batch:
            left-padded, on the model's device, with ``attention_mask`` ``(B, T)`` and ``input_ids`` or
            ``inputs_embeds``. Files that the model reads are there while it is open, and not after.
        check: ``(config, tokenizer)`` → what of the tokenizer does not fit the model, in a clause; empty if all fits.
        ends: tokens that end an answer, beside those in the checkpoint's generation settings.
        marks: what stands for an image in a prompt; no text of a request may hold it.
        speaks_marks: special tokens may be part of an answer (where something is in the image) and are shown in it.
    """

    inputs: Callable[[Any, Any, Sequence[Request]], AbstractContextManager[Inputs]]
    check: Callable[[Any, Any], str]
    ends: tuple[str, ...]
    marks: tuple[str, ...]
    speaks_marks: bool = False

    def end_tokens(self, tokenizer: Any) -> list[int]:
        """The ids of `ends`."""
        return [int(tokenizer.convert_tokens_to_ids(end)) for end in self.ends]

    def refuse_marks(self, requests: Sequence[Request]) -> None:
        """Raises InputError where a text holds a mark: it would be read as an image, from wherever it says."""
        for part in (part for one in requests for turn in one.messages for part in turn["content"]):
            if found := next((mark for mark in self.marks if mark in part.get("text", "")), None):
                raise InputError(f"a text of the request holds {found!r}, which marks an image; leave it out")

    def without_marks(self, text: str) -> str:
        """What the model itself wrote, when that goes into a prompt: it may have read a mark off an image."""
        while found := next((mark for mark in self.marks if mark in text), None):
            text = text.replace(found, "")
        return text


class Tokenized:
    """A checkpoint's tokenizer where a processor is asked for.

    Raises:
        ModelError: it is the tokenizer of another model.
    """

    def __init__(self, tokenizer: Any, config: Any, family: str, encoding: Encoding) -> None:
        if wrong := encoding.check(config, tokenizer):
            raise ModelError(
                f"a {family} model cannot use this {type(tokenizer).__name__}: {wrong}; give the tokenizer of the same "
                "checkpoint, AutoTokenizer.from_pretrained(…, trust_remote_code=True)"
            )
        self.tokenizer = tokenizer
        self.chat_template = getattr(tokenizer, "chat_template", None)


def lacks_tokens(tokenizer: Any, tokens: Sequence[str]) -> str:
    """A clause on those of the tokens that a tokenizer does not know; empty if it knows all."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    absent = []
    for token in tokens:
        try:
            found = tokenizer.convert_tokens_to_ids(token)
        except (KeyError, ValueError):  # some say so in this way
            found = None
        if found is None or found == unknown:
            absent.append(token)
    return f"it has no token {' and no '.join(absent)}" if absent else ""


@contextmanager
def image_files(requests: Sequence[Request]) -> Iterator[list[list[str]]]:
    """The paths of each request's images, written to a folder that is gone when the context ends."""
    with TemporaryDirectory(prefix="ras_ext-") as folder:
        paths: list[list[str]] = []
        for row, request in enumerate(requests):
            paths.append([])
            for index, image in enumerate(request.images):
                path = Path(folder, f"{row}-{index}.png")
                image.save(path)
                paths[-1].append(str(path))
        yield paths


def left(rows: Sequence[torch.Tensor], fill: torch.Tensor | int | bool) -> torch.Tensor:
    """Rows ``(T_i, …)`` as one ``(B, T, …)``, shorter ones filled up on the left."""
    width = max(len(row) for row in rows)
    batch = rows[0].new_empty((len(rows), width, *rows[0].shape[1:]))
    batch[:] = fill
    for index, row in enumerate(rows):
        batch[index, width - len(row) :] = row
    return batch
