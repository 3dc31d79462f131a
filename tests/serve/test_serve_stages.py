"""The prompts of stages 1 and 2 are those of the guard, for every conversation that clients send."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.prompts import DEFAULT_PROMPTS, Prompts
from ras_ext.reformulate import looking, reformulate
from ras_ext.serve import stages

RED, BLUE, GREEN = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green"))
SHORT = Prompts("What is here?", "Be safe.", "{query}\n{visual_context}\n{safety}")


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(picture: Image.Image) -> dict[str, Any]:
    return {"type": "image_pil", "image_pil": picture}


CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "words": [{"role": "user", "content": "how are you"}],
    "an image": [{"role": "user", "content": [image(RED), text("what is this")]}],
    "an image behind the words": [{"role": "user", "content": [text("what is this"), image(RED)]}],
    "several texts": [{"role": "user", "content": [text("what"), image(RED), text("is {query} this")]}],
    "history": [
        {"role": "user", "content": [image(RED), text("what is this")]},
        {"role": "assistant", "content": "a square"},
        {"role": "user", "content": "of what colour"},
    ],
    "several images": [
        {"role": "user", "content": [image(RED), image(GREEN), text("compare")]},
        {"role": "assistant", "content": [text("they differ")]},
        {"role": "user", "content": [image(BLUE), text("and this one")]},
    ],
    "a system prompt": [
        {"role": "system", "content": "answer in one word"},
        {"role": "system", "content": [text("be kind")]},
        {"role": "user", "content": [image(RED), text("what is this")]},
        {"role": "assistant", "content": "square"},
        {"role": "system", "content": "a late one"},
        {"role": "user", "content": "why"},
    ],
}


def as_guard(messages: list[dict[str, Any]]) -> Request:
    """The same conversation in transformers' form."""

    def part(one: dict[str, Any]) -> dict[str, Any]:
        return {"type": "image", "image": one["image_pil"]} if one["type"] == "image_pil" else one

    return Request.from_messages(
        [
            {
                **turn,
                "content": turn["content"] if isinstance(turn["content"], str) else list(map(part, turn["content"])),
            }
            for turn in messages
        ]
    )


def same(ours: list[dict[str, Any]], theirs: Request) -> None:
    """Turn by turn: roles, words, places of the images, and the images themselves in order."""
    pictures = [part["image_pil"] for turn in ours for part in turn["content"] if part["type"] == "image_pil"]
    assert [one.tobytes() for one in pictures] == [one.tobytes() for one in theirs.images]
    plain = [
        {**turn, "content": [{"type": "image"} if part["type"] == "image_pil" else part for part in turn["content"]]}
        for turn in ours
    ]
    assert plain == list(theirs.messages)


@pytest.mark.parametrize("prompts", [DEFAULT_PROMPTS, SHORT], ids=["default", "other"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_prompts_are_those_of_the_guard(name: str, prompts: Prompts) -> None:
    turns, request = stages.checked(CONVERSATIONS[name]), as_guard(CONVERSATIONS[name])
    same(turns, request)
    assert stages.query(turns) == request.query
    assert stages.has_image(turns) == request.has_image
    same(stages.looking(turns, prompts), looking([request], prompts)[0])
    for context in ("", "The image shows a square."):
        same(stages.reformulated(turns, context, prompts), reformulate(request, context, prompts))


def test_what_was_sent_is_not_changed() -> None:
    sent = CONVERSATIONS["several images"]
    before = str(sent)
    turns = stages.checked(sent)
    stages.looking(turns, SHORT)
    stages.reformulated(turns, "context", SHORT)
    assert str(sent) == before
    assert turns == stages.checked(sent)


def test_only_the_image_itself_is_kept_of_its_part() -> None:
    """An id for vLLM's cache, chosen by a client, could stand for another image."""
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}, "uuid": "another"}
    (turn,) = stages.checked([{"role": "user", "content": [url, text("what")], "name": "me"}])
    assert turn == {"role": "user", "content": [{k: v for k, v in url.items() if k != "uuid"}, text("what")]}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "at least one message"),
        ("hello", "must be a list"),
        (b"hello", "must be a list"),
        (None, "must be a list"),
        ({"role": "user", "content": "a"}, "must be a list"),
        (["hello"], "a message must have a role"),
        ([{"role": "user"}], "a message must have a role"),
        ([{"role": "tool", "content": "a"}], "a message must have a role"),
        ([{"role": ["user"], "content": "a"}], "a message must have a role"),
        ([{"role": "user", "content": 3}], "a message must have a role"),
        ([{"role": "user", "content": b"a"}], "a message must have a role"),
        (
            [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}]}],
            "must be a text or an image",
        ),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "must be a text or an image"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "must be a text or an image"),
        ([{"role": "user", "content": ["hello"]}], "must be a text or an image"),
        ([{"role": "user", "content": [{"type": ["text"], "text": "a"}]}], "must be a text or an image"),
        ([{"role": "user", "content": [image(RED)]}], "at least one word"),
        ([{"role": "user", "content": " \n"}], "at least one word"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "the last message must be the user's",
        ),
    ],
)
def test_what_is_no_conversation_is_refused(messages: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        stages.checked(messages)
