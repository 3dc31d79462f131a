"""Conversations in the chat format of transformers: several images, several turns, a system prompt, a stream."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import TextIteratorStreamer

from ras_ext import Guard
from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.items import Item

from tests.conftest import Subject  # isort: skip


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}


@pytest.fixture
def guard(organism: Subject) -> Guard:
    return Guard(organism.model, organism.processor, organism.vectors)


def test_a_conversation_is_the_request_of_its_parts(guard: Guard, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "picture.png")
    earlier = [("what is this ?", "an apple .")]
    plain = guard.generate(picture, "is it good ?", history=earlier, max_new_tokens=8)
    first = {"type": "image"}
    for part, images in (
        ({**first, "image": picture}, []),
        ({**first, "path": str(tmp_path / "picture.png")}, []),
        ({**first, "url": str(tmp_path / "picture.png")}, []),
        (first, [picture]),
        (first, [tmp_path / "picture.png"]),
    ):
        turns = [user(part, "what is this ?"), {"role": "assistant", "content": "an apple ."}, user("is it good ?")]
        found = guard.chat(turns, images, max_new_tokens=8)
        assert (found.text, found.risk, found.visual_context) == (plain.text, plain.risk, plain.visual_context)


def test_several_images_and_a_system_prompt_are_kept(guard: Guard, picture: Image.Image) -> None:
    image = {"type": "image"}
    turns = [
        {"role": "system", "content": "be kind ."},
        user(image, "what is this ?"),
        {"role": "assistant", "content": "an apple ."},
        user(image, "and this ?"),
    ]
    request = Request.from_messages(turns, [picture, picture.rotate(90)])
    assert [turn["role"] for turn in request.messages] == ["system", "user", "assistant", "user"]
    assert len(request.images) == 2
    changed = request.with_query("another question")
    assert changed.messages[:3] == request.messages[:3]
    assert changed.query == "another question"
    found = guard.chat(turns, [picture, picture.rotate(90)], max_new_tokens=8)
    assert found.visual_context
    apart = Guard(guard.model, guard.processor, guard.vectors, prefill="separate")
    assert apart.chat(turns, [picture, picture.rotate(90)], max_new_tokens=8).text == found.text


def test_a_stream_brings_the_steered_answer(guard: Guard, evaluation_set: list[Item]) -> None:
    harm = next(item for item in evaluation_set if item.label == "unsafe" and item.kind == "picture")
    request = harm.request()
    streamer = TextIteratorStreamer(guard.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    answers: list[Any] = []

    def answer() -> None:
        answers.append(guard.chat(request.messages, request.images, max_new_tokens=24, streamer=streamer))

    thread = threading.Thread(target=answer)
    thread.start()
    streamed = "".join(streamer)
    thread.join()
    assert streamed.strip() == answers[0].text
    assert answers[0].refused
    assert answers[0].image_prefills == 1


def test_a_static_cache_gives_the_same_answer(guard: Guard, evaluation_set: list[Item]) -> None:
    requests = [item.request() for item in evaluation_set if item.kind == "picture"][:4]
    plain = guard.generate_batch(requests, max_new_tokens=24)
    other = guard.generate_batch(requests, max_new_tokens=24, cache_implementation="static")
    assert [one.text for one in other] == [one.text for one in plain]
    assert {one.image_prefills for one in other} == {1}


@pytest.mark.parametrize(
    ("messages", "images", "says"),
    [
        ([], [], "at least one message"),
        ("hello", [], "must be a list"),
        ([{"role": "tool", "content": "x"}], [], "role"),
        ([{"role": "user"}], [], "content"),
        ([user("a"), {"role": "assistant", "content": "b"}], [], "last message must be the user's"),
        ([user(" ")], [], "at least one word"),
        ([user({"type": "video"}, "a")], [], "text or an image"),
        ([user({"type": "image"}, "a")], [], "none is left"),
        ([user("a")], [Image.new("RGB", (4, 4))], "marked in no message"),
        ([user({"type": "image", "path": "absent.png"}, "a")], [], "does not exist"),
    ],
)
def test_what_is_no_conversation_is_one_sentence(messages: Any, images: list[Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Request.from_messages(messages, images)
