"""A tokenizer with the methods of Qwen-VL's: text in pieces of bytes, images as their paths.

Ids below 256 are single bytes in an order of their own, then come words, then marks from ``<|endoftext|>`` on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import Any

from transformers import PreTrainedTokenizer

SPAN = 256
WORDS = [f"{space}w{n}".encode() for space in ("", " ") for n in range(40)] + [b"user", b"assistant", b"system"]
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
IMAGE = ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", "<imgpad>")


class QWenTokenizer(PreTrainedTokenizer):
    vocab_files_names: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, errors: str = "replace", **kwargs: Any) -> None:
        pieces = [bytes([(n + 33) % 256]) for n in range(256)] + WORDS
        self.mergeable_ranks = {piece: n for n, piece in enumerate(pieces)}
        self.special_tokens = {mark: n for n, mark in enumerate(CHAT + IMAGE, len(pieces))}
        self.decoder: dict[int, Any] = {n: piece for piece, n in self.mergeable_ranks.items()}
        self.decoder.update({n: mark for mark, n in self.special_tokens.items()})
        self.errors = errors
        self.image_start_tag, self.image_end_tag, self.image_pad_tag = IMAGE[-3:]
        self.IMAGE_ST = IMAGE
        self.eod_id, self.im_start_id, self.im_end_id = (self.special_tokens[mark] for mark in CHAT)
        self.img_start_id, self.img_end_id, self.img_pad_id = (self.special_tokens[mark] for mark in IMAGE[-3:])
        super().__init__(**kwargs)

    def __len__(self) -> int:
        return len(self.decoder)

    @property
    def vocab_size(self) -> int:
        return len(self.decoder)

    def get_vocab(self) -> dict[Any, int]:
        return {piece: n for n, piece in self.decoder.items()}

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        if isinstance(tokens, (str, bytes)):
            return self.special_tokens.get(tokens, self.mergeable_ranks.get(tokens))  # type: ignore[arg-type]
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def _convert_token_to_id(self, token: Any) -> int:
        return self.convert_tokens_to_ids(token)

    def _convert_id_to_token(self, index: int) -> Any:
        return self.decoder[index]

    def tokenize(
        self, text: str, allowed_special: Any = "all", disallowed_special: Collection[str] = (), **kwargs: Any
    ) -> list[Any]:
        """Pieces of bytes, and marks as text where they are allowed; the paths of images filled up."""
        allowed = set(self.special_tokens) if allowed_special == "all" else set(allowed_special)
        rest, found = unicodedata.normalize("NFC", text), []
        while rest:
            mark = next((mark for mark in allowed if rest.startswith(mark)), None)
            if mark:
                found.append(mark)
                rest = rest[len(mark) :]
                continue
            cut = min((at for mark in allowed if (at := rest.find(mark)) > 0), default=len(rest))
            found += self._pieces(rest[:cut].encode())
            rest = rest[cut:]
        return self._filled(found)

    def _pieces(self, data: bytes) -> list[bytes]:
        found = []
        while data:
            piece = max((word for word in WORDS if data.startswith(word)), key=len, default=data[:1])
            found.append(piece)
            data = data[len(piece) :]
        return found

    def _filled(self, tokens: list[Any]) -> list[Any]:
        """A path's bytes stand as the tokens of those numbers, whatever these mean in text."""
        found: list[Any] = []
        while self.image_start_tag in tokens:
            start = tokens.index(self.image_start_tag)
            end = tokens.index(self.image_end_tag, start)
            path = b"".join(tokens[start + 1 : end])
            if len(path) > SPAN:
                raise ValueError(f"a path of {len(path)} bytes is too long")
            filled = [self.decoder[byte] for byte in path] + [self.image_pad_tag] * (SPAN - len(path))
            found += [*tokens[: start + 1], *filled, self.image_end_tag]
            tokens = tokens[end + 1 :]
        return found + tokens

    def from_list_format(self, list_format: list[dict[str, str]]) -> str:
        text, number = "", 0
        for part in list_format:
            if "image" in part:
                number += 1
                text += f"Picture {number}: {self.image_start_tag}{part['image']}{self.image_end_tag}\n"
            elif "text" in part:
                text += part["text"]
            else:
                raise ValueError(f"neither an image nor a text: {part}")
        return text

    def _decode(
        self, token_ids: Any, skip_special_tokens: bool = False, errors: str | None = None, **kwargs: Any
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        pieces = [self.decoder[int(n)] for n in ids if not skip_special_tokens or n < self.eod_id]
        data = b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)
        return data.decode("utf-8", errors=errors or self.errors)
