"""A sent set of requests: its pictures are found by name, and what is wrong is said without a path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ras_ext.errors import InputError
from ras_ext.studio.sent_items import items_of
from ras_ext.studio.uploads import Uploads


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    found = Uploads()
    yield found
    found.close()


def send(folder: Path, rows: list[dict[str, Any]], pictures: tuple[str, ...] = ("a.png",)) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [folder / "set.jsonl"]
    files[0].write_text("\n".join(map(json.dumps, rows)))
    for name in pictures:
        Image.new("RGB", (8, 8), "red").save(folder / name)
        files.append(folder / name)
    return files


def row(image: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "1", "text": "what is this ?", "label": "safe", "image": image, **more}


@pytest.mark.parametrize("image", ["a.png", "images/a.png", "/somewhere/else/a.png", "C:\\pictures\\a.png", "../a.png"])
def test_a_picture_is_found_by_the_last_part_of_its_path(uploads: Uploads, tmp_path: Path, image: str) -> None:
    items = items_of(send(tmp_path / "in", [row(image)]), uploads, "v")
    assert items[0].image is not None
    assert items[0].image.name == "a.png"
    assert uploads.folder in items[0].image.parents


def test_the_items_stay_until_the_visit_ends(uploads: Uploads, tmp_path: Path) -> None:
    items = items_of(send(tmp_path / "in", [row("a.png")]), uploads, "v")
    assert items[0].image is not None
    assert items[0].image.exists()
    uploads.forget("v")
    assert not items[0].image.exists()


def test_a_name_that_a_browser_changed_is_found_all_the_same(uploads: Uploads, tmp_path: Path) -> None:
    files = send(tmp_path / "in", [row("images/a picture (1).png")], ("apicture1.png",))
    assert items_of(files, uploads, "v")[0].image is not None


def test_pictures_that_were_not_sent_are_named(uploads: Uploads, tmp_path: Path) -> None:
    rows = [row(f"x/{name}.png", id=name) for name in "abcde"]
    with pytest.raises(InputError, match=r"not sent: b\.png, c\.png, d\.png and 1 more; send them along"):
        items_of(send(tmp_path / "in", rows), uploads, "v")


def test_two_pictures_of_one_name_are_refused(uploads: Uploads, tmp_path: Path) -> None:
    rows = [row("x/a.png"), row("y/a.png", id="2")]
    with pytest.raises(InputError, match="one name without their folders"):
        items_of(send(tmp_path / "in", rows), uploads, "v")


@pytest.mark.parametrize("lists", [0, 2])
def test_one_list_of_requests_is_asked_for(uploads: Uploads, tmp_path: Path, lists: int) -> None:
    files = send(tmp_path / "in", [row()])[1:]
    for number in range(lists):
        files.append(tmp_path / "in" / f"{number}.jsonl")
        files[-1].write_text(json.dumps(row()))
    with pytest.raises(InputError, match=f"{lists} of the {len(files)} files"):
        items_of(files, uploads, "v")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "line 1 is not JSON"),
        ('{"text": "a", "label": "evil"}', "label must be"),
        ("", "holds no items"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_sentence_without_a_path(
    uploads: Uploads, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        items_of([path], uploads, "v")
    assert str(uploads.folder) not in str(refused.value)
    assert not list(uploads.folder.glob("visit-*"))


def test_a_picture_that_is_none_is_refused(uploads: Uploads, tmp_path: Path) -> None:
    files = send(tmp_path / "in", [row("a.png")])
    files[1].write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"'a.png' is no image"):
        items_of(files, uploads, "v")
