"""Texts that spell a special token of the model: the tokenizer would read a turn or an image where words were sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ras_ext.errors import InputError


class Spelled:
    """Knows how a model's special tokens are spelled.

    Args:
        tokens: as they stand in the vocabulary.
        folded: those that the tokenizer looks for in the text only after `fold`, its normaliser.
    """

    def __init__(
        self, tokens: Sequence[str], folded: Sequence[str] = (), fold: Callable[[str], str] | None = None
    ) -> None:
        self._tokens = sorted({token for token in tokens if token.strip()})
        self._fold = fold
        self._folded = sorted({fold(token) for token in folded if fold(token).strip()}) if fold is not None else []

    @classmethod
    def of(cls, tokenizer: Any, *ids: int | None) -> Spelled:
        """Those of a tokenizer, and the tokens `ids`, such as the image's, whatever it says of them."""
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = [token for at, token in added.items() if token.special or at in ids]
        names = [*map(str, getattr(tokenizer, "all_special_tokens", ())), *(token.content for token in special)]
        normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
        fold = None if normalizer is None else normalizer.normalize_str
        return cls(names, [token.content for token in special if token.normalized], fold)

    def check(self, turns: Sequence[Mapping[str, Any]]) -> None:
        """Raises InputError for a conversation with such a text, also where several parts spell it together."""
        for turn in turns:
            texts = [part["text"] for part in turn["content"] if part["type"] == "text"]
            for text in {"".join(texts), *texts}:
                found = self._found(text)
                if found is not None:
                    raise InputError(
                        f"a message spells {found!a}, which this model reads as a part of the conversation's form and "
                        "not as words; leave it out, or write it with a space in it"
                    )

    def _found(self, text: str) -> str | None:
        found = next((token for token in self._tokens if token in text), None)
        if found is not None or not self._folded or self._fold is None:
            return found
        folded = self._fold(text)
        return next((token for token in self._folded if token in folded), None)
