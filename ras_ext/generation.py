"""Batched generation of chat requests: encoding, the model's own ``generate``, decoding without the padding.

The stages of the method call this with greedy settings, the final answer with whatever the user asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jinja2 import TemplateError

from ras_ext.compat import left_padded, returned_width, step_logits, templated
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError
from ras_ext.models import accepts, device_of, dtype_of, encoding_of, family_of

# Settings that would change what the first tokens of a judged answer are, whatever the checkpoint's defaults.
GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 50,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


# (requests, settings of generate) → what generate returns, and the width of the prompts
Run = Callable[..., Any]
# (requests, steps, logits=False) → greedy tokens (B, T), and the f32 logits (B, T, V) that chose them if asked for
Greedy = Callable[..., tuple[torch.Tensor, "torch.Tensor | None"]]
_PART = "{'type':"


@dataclass(frozen=True)
class Answer:
    """An answer's text and its length in tokens, without padding and end mark; `ended` tells whether it came to one."""

    text: str
    tokens: int
    ended: bool = True


def chat_template(processor: Any, config: Any) -> str | None:
    """The family's chat template where the checkpoint brings none, else ``None`` (use its own)."""
    if getattr(templated(processor), "chat_template", None):
        return None
    family = family_of(config)
    if family is None or family.chat_template is None:
        raise ModelError("the processor brings no chat template; set processor.chat_template")
    warnings.warn(
        f"the processor brings no chat template; the usual one of the {family.name} family is used",
        stacklevel=3,
    )
    return family.chat_template


def render(processor: Any, request: Request, template: str | None) -> str:
    """The prompt of a request by the chat template, which may want a turn's content in parts or as one text."""

    def by(messages: list[dict[str, Any]]) -> str:
        return templated(processor).apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True
        )

    turns = list(request.messages)
    try:
        text = by(turns)
        # A template that puts the list of parts into the prompt as it stands wants texts.
        if _PART not in text or any(_PART in part.get("text", "") for turn in turns for part in turn["content"]):
            return text
    except (TypeError, TemplateError):
        pass
    image = getattr(processor, "image_token", "<image>")
    return by([{**turn, "content": "\n".join(part.get("text", image) for part in turn["content"])} for turn in turns])


def encode(model: Any, processor: Any, requests: Sequence[Request]) -> dict[str, torch.Tensor]:
    """Left-padded model inputs for a batch of requests, where the model runs and in its type."""
    if not requests:
        raise InputError("a batch needs at least one request, got none")
    family = family_of(model.config)
    if family is not None and family.encoding is not None:
        raise ModelError(f"the inputs of a {family.name} model last only as long as the files of its images")
    template = chat_template(processor, model.config)
    texts = [render(processor, request, template) for request in requests]
    tokenizer = processor.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    images: list[Any] = [list(request.images) for request in requests]
    if not any(images):
        images = []
    elif family is None or not family.nested_images:
        images = [image for row in images for image in row]
    begins = bool(tokenizer.bos_token) and texts[0].startswith(tokenizer.bos_token)
    batch = left_padded(
        processor,
        text=texts,
        images=images or None,
        padding=True,
        add_special_tokens=not begins,
        return_tensors="pt",
    )
    # Some tokenizers give them to models that know none; to others they say which tokens are images.
    if not accepts(model, "token_type_ids"):
        batch.pop("token_type_ids", None)
    device, dtype = device_of(model), dtype_of(model)
    return {
        name: value.to(device, dtype if value.is_floating_point() else None)
        for name, value in batch.items()
        if isinstance(value, torch.Tensor)
    }


@contextmanager
def prepared(model: Any, processor: Any, requests: Sequence[Request]) -> Iterator[dict[str, torch.Tensor]]:
    """Left-padded inputs for ``generate``, to be used inside: some models read the images from files that then go.

    Raises:
        InputError: there is no request, or a text holds what marks an image.
    """
    encoding = encoding_of(model.config)
    if encoding is None:
        yield encode(model, processor, requests)
        return
    if not requests:
        raise InputError("a batch needs at least one request, got none")
    encoding.refuse_marks(requests)
    with encoding.inputs(model, processor.tokenizer, requests) as inputs:
        yield inputs


def end_tokens(model: Any, processor: Any = None) -> list[int]:
    """The token ids that end an answer: of the generation settings and, with a processor, of the family."""
    ends = model.generation_config.eos_token_id
    found = [] if ends is None else list(ends) if isinstance(ends, (list, tuple)) else [int(ends)]
    encoding = encoding_of(model.config)
    if processor is not None and encoding is not None:
        found += [end for end in encoding.end_tokens(processor.tokenizer) if end not in found]
    return found


def pad_token(model: Any, processor: Any) -> int:
    """The id that fills finished rows."""
    for candidate in (
        model.generation_config.pad_token_id,
        processor.tokenizer.pad_token_id,
        *end_tokens(model, processor),
    ):
        if candidate is not None:
            return int(candidate)
    return 0


def decode(model: Any, processor: Any, rows: torch.Tensor) -> list[Answer]:
    """Texts and lengths of generated rows ``(B, T)``, each cut at its first end token."""
    ends = set(end_tokens(model, processor))
    encoding = encoding_of(model.config)
    skip = encoding is None or not encoding.speaks_marks
    answers = []
    for row in rows.tolist():
        length = next((index for index, token in enumerate(row) if token in ends), len(row))
        text = processor.tokenizer.decode(row[:length], skip_special_tokens=skip).strip()
        answers.append(Answer(text, length, ended=length < len(row)))
    return answers


def fit_for_prompt(model: Any, text: str) -> str:
    """A text the model wrote, without what would be read as an image in a prompt of a family that goes by paths."""
    encoding = encoding_of(model.config)
    return text if encoding is None else encoding.without_marks(text)


@torch.inference_mode()
def generate(model: Any, processor: Any, requests: Sequence[Request], **settings: Any) -> Any:
    """The model's ``generate`` on a batch of requests; returns what transformers returns and the prompt's width."""
    settings.setdefault("pad_token_id", pad_token(model, processor))
    if len(ends := end_tokens(model, processor)) > len(end_tokens(model)):
        settings.setdefault("eos_token_id", ends)
    with prepared(model, processor, requests) as inputs:
        return model.generate(**inputs, **settings), returned_width(model, inputs)


def greedy(
    model: Any, processor: Any, requests: Sequence[Request], steps: int, *, logits: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Up to `steps` greedy tokens ``(B, T)``, and the f32 logits ``(B, T, V)`` that chose them, if asked for."""
    settings = {**GREEDY, "max_new_tokens": steps, "return_dict_in_generate": True}
    if not logits:
        found, prompt = generate(model, processor, requests, **settings)
        return found.sequences[:, prompt:], None
    with step_logits(model, settings) as read:
        found, prompt = generate(model, processor, requests, **settings)
        return found.sequences[:, prompt:], torch.stack(read(found), dim=1)


def answer(
    model: Any,
    processor: Any,
    requests: Sequence[Request],
    *,
    run: Run | None = None,
    max_new_tokens: int = 128,
    **settings: Any,
) -> list[Answer]:
    """Answers one batch, one answer a request. `settings` go to ``generate`` unchanged.

    `run` goes on from what is prefilled already (:mod:`ras_ext.prefix`); without it the whole prompts are run.
    """
    whole: Run = partial(generate, model, processor)
    found, prompt = (run or whole)(requests, max_new_tokens=max_new_tokens, **settings)
    rows = getattr(found, "sequences", found)
    return decode(model, processor, rows[:, prompt:])
