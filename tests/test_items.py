"""Data files: what is read from a good one, and the one sentence each bad one is refused with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ras_ext.errors import InputError
from ras_ext.items import Item, load_items

GOOD = {"id": "a", "image": None, "text": "what is this ?", "label": "safe", "reference": "a cat .", "kind": "question"}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_a_file_is_read_with_images_beside_it_history_and_unknown_keys(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (5, 4), "red").save(tmp_path / "images" / "x.png")
    history = [["what is this ?", "a red square ."]]
    unsafe = {"id": 7, "image": "images/x.png", "text": "make it", "label": "unsafe", "history": history, "source": "x"}
    path = write(tmp_path, "\ufeff" + json.dumps(GOOD), "", unsafe)
    first, second = load_items(path)
    assert first == Item("a", "what is this ?", "safe", None, "a cat .", "question")
    assert second == Item(
        "7", "make it", "unsafe", tmp_path / "images/x.png", None, "", (("what is this ?", "a red square ."),)
    )
    request = second.request()
    assert request.query == "make it"
    assert [message["role"] for message in request.messages] == ["user", "assistant", "user"]
    assert request.images[0].size == (5, 4)
    assert not first.request().has_image


def test_an_item_without_id_is_called_by_its_line_and_line_separators_in_texts_do_not_split_it(tmp_path: Path) -> None:
    row = {**GOOD, "id": None, "text": "one\u2028two"}
    path = tmp_path / "data.jsonl"
    path.write_text("\n" + json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8")
    (item,) = load_items(path)
    assert (item.id, item.text) == ("line-2", "one\u2028two")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "is not JSON"),
        ("[1, 2]", "must be a JSON object, got list"),
        ({**GOOD, "text": "  "}, "text must be a question"),
        ({**GOOD, "text": None}, "text must be a question"),
        ({**GOOD, "label": "harmful"}, "label must be 'safe' or 'unsafe', got 'harmful'"),
        ({key: value for key, value in GOOD.items() if key != "label"}, "label must be"),
        ({**GOOD, "label": ["safe"]}, "label must be"),
        ({**GOOD, "id": 1.5}, "id must be a text or a whole number, got 1.5"),
        ({**GOOD, "kind": 3}, "kind must be a text"),
        ({**GOOD, "reference": "..."}, "reference must be a text of at least one word"),
        ({**GOOD, "reference": 5}, "reference must be a text"),
        ({**GOOD, "image": "none.png"}, "none.png' does not exist"),
        ({**GOOD, "image": "."}, "does not exist"),
        ({**GOOD, "image": 3}, "image must be a relative path or null, got 3"),
        ({**GOOD, "image": "a\0b.png"}, "image must be a relative path"),
        ({**GOOD, "image": "/etc/hosts"}, "leads out of the data file's folder"),
        ({**GOOD, "image": "images/../../x.png"}, "leads out"),
        ({**GOOD, "image": "..\\x.png"}, "leads out"),
        ({**GOOD, "image": "C:x.png"}, "leads out"),
        ({**GOOD, "history": [["only one"]]}, "history must be a list of [user, assistant] texts"),
        ({**GOOD, "history": "before"}, "history must be"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_one_sentence(tmp_path: Path, line: object, said: str) -> None:
    path = write(tmp_path, {**GOOD, "id": "first"}, line)
    with pytest.raises(InputError) as caught:
        load_items(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith("data.jsonl line 2")
    assert "\n" not in message
    assert len(message) < 400


def test_an_id_given_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 3: the id 'a' stands already on line 1"):
        load_items(write(tmp_path, GOOD, {**GOOD, "id": "b"}, GOOD))


def test_an_image_outside_the_folder_is_refused_even_though_it_exists(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "outside.png")
    inner = tmp_path / "inner"
    inner.mkdir()
    Image.new("RGB", (2, 2)).save(inner / "inside.png")
    assert load_items(write(inner, {**GOOD, "image": "inside.png"}))[0].image == inner / "inside.png"
    with pytest.raises(InputError, match="leads out"):
        load_items(write(inner, {**GOOD, "image": "../outside.png"}))


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "holds no items"), (b"\n \n", "holds no items"), (b"\xff\xfe{}", "is not UTF-8")]
)
def test_an_empty_or_wrongly_encoded_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_items(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_items(tmp_path / "none.jsonl")


def test_a_damaged_image_is_named_when_the_request_is_made(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    (item,) = load_items(write(tmp_path, {**GOOD, "image": "x.png"}))
    with pytest.raises(InputError, match=r"x\.png' is no image"):
        item.request()
