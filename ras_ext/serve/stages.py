"""The prompts of stages 1 and 2 for a conversation in OpenAI's form; :mod:`ras_ext.reformulate` has ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from ras_ext.errors import InputError
from ras_ext.prompts import Prompts

Messages = Sequence[Mapping[str, Any]]
_ROLES = ("system", "developer", "user", "assistant")
IMAGES = ("image_url", "image_pil")


def checked(messages: Any) -> list[dict[str, Any]]:
    """The conversation with every content as parts, all of them texts and images, the last turn the user's.

    Raises:
        InputError: it is none, or holds what the defence cannot look at.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)) or not messages:
        raise InputError(f"messages must be a list of at least one message, got {str(messages)[:80]!r}")
    turns = [_turn(message) for message in messages]
    if turns[-1]["role"] != "user" or not query(turns).strip():
        raise InputError("the last message must be the user's, with at least one word")
    return turns


def named(turns: Messages) -> list[dict[str, Any]]:
    """The conversation with a name for every opened image, by which the engine knows it again in the next stage."""
    return [{**turn, "content": [_named(part) for part in turn["content"]]} for turn in turns]


def has_image(turns: Messages) -> bool:
    return any(part["type"] in IMAGES for turn in turns for part in turn["content"])


def query(turns: Messages) -> str:
    """The text of the last turn."""
    return " ".join(part["text"] for part in turns[-1]["content"] if part["type"] == "text")


def looking(turns: Messages, prompts: Prompts) -> list[dict[str, Any]]:
    """Stage 1: one turn with all the images and the question what in them matters, behind the system prompt."""
    told = takewhile(lambda turn: turn["role"] in ("system", "developer"), turns)
    kept = [{**turn, "content": [part for part in turn["content"] if part["type"] == "text"]} for turn in told]
    images = [part for turn in turns for part in turn["content"] if part["type"] in IMAGES]
    return [*kept, {"role": "user", "content": [*images, {"type": "text", "text": prompts.visual_context}]}]


def reformulated(turns: Messages, context: str, prompts: Prompts) -> list[dict[str, Any]]:
    """Stage 2: the conversation whose last turn carries safety prompt, visual context and question."""
    images = [part for part in turns[-1]["content"] if part["type"] in IMAGES]
    text = prompts.reformulate(query(turns), context)
    last = {**turns[-1], "content": [*images, {"type": "text", "text": text}]}
    return [*(dict(turn) for turn in turns[:-1]), last]


def _named(part: Mapping[str, Any]) -> dict[str, Any]:
    image = part.get("image_pil")
    if image is None:
        return dict(part)
    # Of the pixels as the model gets them: two that differ must never have one name.
    digest = hashlib.sha256(f"{image.mode} {image.size} {image.info.get('transparency')} ".encode())
    digest.update(b"" if image.palette is None else image.palette.tobytes())
    digest.update(image.tobytes())
    return {**part, "uuid": digest.hexdigest()}


def _turn(message: Any) -> dict[str, Any]:
    role, content = (message.get(key) if isinstance(message, Mapping) else None for key in ("role", "content"))
    if role not in _ROLES or not isinstance(content, (str, Sequence)) or isinstance(content, bytes):
        raise InputError(
            f"a message must have a role (system, user or assistant) and content, got {str(message)[:120]!r}"
        )
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else [_part(part) for part in content]
    return {"role": role, "content": parts}


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind in IMAGES and part.get(kind) is not None:
        # Not the rest: a name for the cache that a client chose could stand for another image.
        return {"type": kind, kind: part[kind]}
    raise InputError(f"a part of a message must be a text or an image, got {str(part)[:120]!r}")
