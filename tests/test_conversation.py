"""Requests: where the image stands, which words may change, and what is no image."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ras_ext.conversation import Request, load_image
from ras_ext.errors import InputError


def test_the_image_belongs_to_the_first_user_turn(picture: Image.Image) -> None:
    request = Request.of(picture, "how?", history=[("what?", "a hat")])
    assert [message["role"] for message in request.messages] == ["user", "assistant", "user"]
    assert [part["type"] for part in request.messages[0]["content"]] == ["image", "text"]
    assert [part["type"] for part in request.messages[2]["content"]] == ["text"]


def test_another_query_changes_the_last_turn_only(picture: Image.Image) -> None:
    request = Request.of(picture, "how?", history=[("what?", "a hat")])
    other = request.with_query("why?")
    assert other.query == "why?"
    assert other.messages[:2] == request.messages[:2]
    assert request.query == "how?"


def test_a_single_turn_keeps_its_image_under_another_query(picture: Image.Image) -> None:
    other = Request.of(picture, "how?").with_query("why?")
    assert [part["type"] for part in other.messages[0]["content"]] == ["image", "text"]
    assert len(other.images) == 1


def test_looking_alone_leaves_the_conversation_out(picture: Image.Image) -> None:
    alone = Request.of(picture, "how?", history=[("what?", "a hat")]).alone("look")
    assert len(alone.messages) == 1
    assert alone.query == "look"


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_a_question_without_words_is_refused(text: str | None) -> None:
    with pytest.raises(InputError, match="question"):
        Request.of(None, text)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "L", "P", "1", "I;16"])
def test_an_image_of_any_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.new(mode, (9, 5))
    assert load_image(image).mode == "RGB"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no image at all", "no image that Pillow can read"), (b"", "no image that Pillow can read")],
)
def test_a_file_that_is_no_image_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        load_image(path)


def test_a_truncated_image_is_refused(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "x.png"
    picture.save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match="intact"):
        load_image(path)


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_image(tmp_path / "x.png")


def test_an_image_too_large_to_be_safe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    Image.new("1", (600, 600)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with pytest.raises(InputError, match="bomb"):
        load_image(path)


def test_alone_keeps_the_system_prompt_and_its_words_only() -> None:
    """An image of the system prompt is among the images that the user's turn then has."""
    pixel = Image.new("RGB", (4, 4))
    turns = [
        {"role": "system", "content": [{"type": "text", "text": "be brief"}, {"type": "image", "image": pixel}]},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "image", "image": pixel}, {"type": "text", "text": "and this ?"}]},
    ]
    alone = Request.from_messages(turns).alone("look")
    assert [turn["role"] for turn in alone.messages] == ["system", "user"]
    assert alone.messages[0]["content"] == [{"type": "text", "text": "be brief"}]
    assert [part["type"] for part in alone.messages[1]["content"]] == ["image", "image", "text"]
    assert alone.query == "look"
    assert len(alone.images) == 2
