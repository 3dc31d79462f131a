"""What the prompts of one request have in common: everything up to its last image, as text and as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Beginning:
    """What all prompts of one row begin with: as text, up to its last image, and as tokens, images expanded."""

    text: str
    tokens: list[int]


class Beginnings:
    """Takes the prompts of a batch apart; what many of them end in is turned into tokens once."""

    def __init__(self, processor: Any) -> None:
        self._tokenizer = processor.tokenizer
        # What can mark an image in a prompt.
        self._marks = [mark for name in ("image_token", "boi_token") if (mark := getattr(processor, name, None))]
        self._known: dict[tuple[str, str], list[int]] = {}

    def beginning(self, text: str, tokens: list[int], has_image: bool) -> Beginning | None:
        """The beginning of a prompt whose tokens, images expanded, are ``tokens``; None if it cannot be told."""
        if not has_image:
            # Nothing worth sharing, but a row needs one token to begin with.
            return Beginning("", tokens[:1]) if len(tokens) > 1 else None
        cut = self._behind_last_image(text)
        if cut is None:
            return None
        behind = self._behind(text[:cut], text[cut:])
        if not 0 < len(behind) < len(tokens) or tokens[-len(behind) :] != behind:
            return None
        return Beginning(text[:cut], tokens[: -len(behind)])

    def tail(self, text: str, row: Beginning) -> list[int] | None:
        """The tokens of a prompt behind its row's beginning; None if it does not begin so."""
        if row.text:
            cut = self._behind_last_image(text)
            return None if cut is None or text[:cut] != row.text else self._behind(row.text, text[cut:]) or None
        first = self._tokenizer.bos_token
        tokens = self._tokens("", text, add_special_tokens=not (bool(first) and text.startswith(first)))
        return tokens[1:] if len(tokens) > 1 and tokens[:1] == row.tokens else None

    def _behind_last_image(self, text: str) -> int | None:
        return max((text.rfind(mark) + len(mark) for mark in self._marks if mark in text), default=None)

    def _behind(self, head: str, rest: str) -> list[int]:
        """Tokens of ``rest`` where it stands: after an image, which a tokenizer always takes for a token of its own."""
        mark = next(mark for mark in self._marks if head.endswith(mark))
        alone, together = self._tokens(mark, ""), self._tokens(mark, rest)
        return together[len(alone) :] if together[: len(alone)] == alone else []

    def _tokens(self, mark: str, rest: str, *, add_special_tokens: bool = False) -> list[int]:
        if (mark, rest) not in self._known:
            found = self._tokenizer(mark + rest, add_special_tokens=add_special_tokens)
            self._known[mark, rest] = list(found["input_ids"])
        return self._known[mark, rest]
