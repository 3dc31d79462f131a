"""A request as the defence sees it: chat messages in transformers' format, and their images in order.

The three stages differ only in the text of the last user turn, so that is what can be exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ras_ext.errors import InputError


def load_image(source: Image.Image | str | Path) -> Image.Image:
    """Opens an image as RGB.

    Raises:
        InputError: the file is missing, no image, truncated, or too large to be safe.
    """
    if isinstance(source, Image.Image):
        return source.convert("RGB")
    try:
        with Image.open(source) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"the image {str(source)!r} does not exist; check the path") from None
    except UnidentifiedImageError:
        raise InputError(f"the file {str(source)!r} is no image that Pillow can read; give a PNG or JPEG") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the image {str(source)!r} cannot be read ({error}); give an intact one") from None


@dataclass(frozen=True)
class Request:
    """Messages in the transformers chat format, ending with a user turn, and the images they mark, in order."""

    messages: tuple[dict[str, Any], ...]
    images: tuple[Image.Image, ...] = ()

    @classmethod
    def of(
        cls,
        image: Image.Image | str | Path | None,
        text: str,
        history: Sequence[tuple[str, str]] = (),
    ) -> Request:
        """A request from one image or none, the question, and earlier (user, assistant) turns.

        The image belongs to the first user turn.
        """
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"the question must be a text with at least one word, got {text!r}")
        turns: list[dict[str, Any]] = []
        for asked, answered in history:
            turns.append(_turn("user", asked))
            turns.append(_turn("assistant", answered))
        turns.append(_turn("user", text))
        if image is None:
            return cls(tuple(turns))
        turns[0]["content"].insert(0, {"type": "image"})
        return cls(tuple(turns), (load_image(image),))

    @classmethod
    def from_messages(
        cls, messages: Sequence[Mapping[str, Any]], images: Sequence[Image.Image | str | Path] = ()
    ) -> Request:
        """A request from messages in transformers' chat format, system prompt and several images included.

        Args:
            messages: ``{"role": "system" | "user" | "assistant", "content": text or parts}``, the last one the user's;
                a part is ``{"type": "text", "text": ...}`` or ``{"type": "image"}``, with the picture or its path under
                ``"image"`` (``"url"`` or ``"path"`` for a file), or else taken from `images` in order.
            images: pictures or paths for the parts that bring none.

        Raises:
            InputError: the messages are not so, or do not fit the images.
        """
        if isinstance(messages, (str, bytes, Mapping)) or not messages:
            raise InputError(f"messages must be a list of at least one message, got {messages!r}")
        rest, taken = list(images), []
        turns = []
        for message in messages:
            role, content = (message.get(key) if isinstance(message, Mapping) else None for key in ("role", "content"))
            if role not in ("system", "user", "assistant") or not isinstance(content, (str, list, tuple)):
                raise InputError(
                    f"a message must have a role (system, user or assistant) and content, got {str(message)[:120]!r}"
                )
            parts = []
            for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                kind = part.get("type") if isinstance(part, Mapping) else None
                if kind == "text" and isinstance(part.get("text"), str):
                    parts.append({"type": "text", "text": part["text"]})
                elif kind == "image":
                    taken.append(_picture(part, rest))
                    parts.append({"type": "image"})
                else:
                    raise InputError(f"a part of a message must be text or an image, got {str(part)[:120]!r}")
            turns.append({"role": role, "content": parts})
        if rest:
            raise InputError(f"{len(rest)} of the images given are marked in no message; add {{'type': 'image'}} parts")
        request = cls(tuple(turns), tuple(taken))
        if turns[-1]["role"] != "user" or not request.query.strip():
            raise InputError("the last message must be the user's, with at least one word")
        return request

    @property
    def query(self) -> str:
        """The text of the last user turn."""
        return " ".join(part["text"] for part in self.messages[-1]["content"] if part["type"] == "text")

    @property
    def has_image(self) -> bool:
        return bool(self.images)

    def with_query(self, text: str) -> Request:
        """The same request with other words in its last turn; images stay where they are."""
        last = self.messages[-1]
        images = [part for part in last["content"] if part["type"] == "image"]
        turn = {**last, "content": [*images, {"type": "text", "text": text}]}
        return Request((*self.messages[:-1], turn), self.images)

    def alone(self, text: str) -> Request:
        """One user turn with all the images and `text`, behind the system prompt and without the conversation."""
        images = [{"type": "image"} for _ in self.images]
        told = takewhile(lambda turn: turn["role"] == "system", self.messages)
        kept = [{**turn, "content": [part for part in turn["content"] if part["type"] == "text"]} for turn in told]
        return Request((*kept, {"role": "user", "content": [*images, {"type": "text", "text": text}]}), self.images)


def _picture(part: Mapping[str, Any], rest: list[Any]) -> Image.Image:
    for key in ("image", "path", "url"):
        if part.get(key) is not None:
            return load_image(part[key])
    if not rest:
        raise InputError("a message marks an image and none is left; give it in the part, or in images")
    return load_image(rest.pop(0))


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
