"""What the prompts of one request have in common: everything up to its last image, as text and as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Beginning:
    """What all prompts of one row begin with: as text, up to its last image, and as tokens, images expanded."""

    text: str
    tokens: list[int]


def beginning(processor: Any, text: str, tokens: list[int], has_image: bool) -> Beginning | None:
    """The beginning of a prompt whose tokens, images expanded, are ``tokens``; None if it cannot be told."""
    if not has_image:
        # Nothing worth sharing, but a row needs one token to begin with.
        return Beginning("", tokens[:1]) if len(tokens) > 1 else None
    cut = _behind_last_image(processor, text)
    if cut is None:
        return None
    behind = _tokens(processor, text[:cut], text[cut:])
    if not 0 < len(behind) < len(tokens) or tokens[-len(behind) :] != behind:
        return None
    return Beginning(text[:cut], tokens[: -len(behind)])


def tail(processor: Any, text: str, row: Beginning) -> list[int] | None:
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


def _tokens(processor: Any, head: str, behind: str) -> list[int]:
    """Tokens of ``behind`` where it stands: after an image, which a tokenizer always takes for a token of its own."""
    mark = next(mark for mark in _marks(processor) if head.endswith(mark))
    alone = processor.tokenizer(mark, add_special_tokens=False)["input_ids"]
    together = processor.tokenizer(mark + behind, add_special_tokens=False)["input_ids"]
    return list(together[len(alone) :]) if together[: len(alone)] == alone else []
