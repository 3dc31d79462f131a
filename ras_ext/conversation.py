"""A request as the defence sees it: chat messages in transformers' format, and their images in order.

The three stages differ only in the text of the last user turn, so that is what can be exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        """One user turn with all the request's images and `text`, without the conversation before it."""
        images = [{"type": "image"} for _ in self.images]
        return Request(({"role": "user", "content": [*images, {"type": "text", "text": text}]},), self.images)


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
