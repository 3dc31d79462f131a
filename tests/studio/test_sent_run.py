"""A run that was sent: read like one kept here, and never a way to another file of this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ras_ext import Guard, evaluate
from ras_ext.errors import InputError
from ras_ext.items import load_items
from ras_ext.organism.queries import write_set
from ras_ext.studio.run_outcomes import outcomes_of
from ras_ext.studio.sent_run import run_of
from ras_ext.studio.uploads import Uploads
from tests.conftest import Subject


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    found = Uploads()
    yield found
    found.close()


@pytest.fixture(scope="module")
def run(organism: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run's two files and its pictures."""
    folder = tmp_path_factory.mktemp("run")
    items = load_items(write_set("calibration", folder / "set", count=8))
    evaluate(Guard(organism.model, organism.processor, organism.vectors), items, out=folder / "items.jsonl")
    for item in items:
        if item.image:
            shutil.copy(item.image, folder)
    return folder


def files(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def test_a_run_with_its_pictures_can_be_tuned_on(run: Path, uploads: Uploads, organism: Subject) -> None:
    report = run_of(files(run, "items.*", "*.png"), uploads, "v")
    found = outcomes_of(report, organism.vectors)
    assert len(found.each) == 8
    assert found.at_hand
    assert all(uploads.folder in item.image.parents for item in found.items if item.image)


def test_pictures_that_were_not_sent_are_not_at_hand_even_if_their_path_exists(
    run: Path, uploads: Uploads, organism: Subject
) -> None:
    found = outcomes_of(run_of(files(run, "items.*"), uploads, "v"), organism.vectors)
    assert not found.at_hand
    assert all(uploads.folder in item.image.parents for item in found.items if item.image)


def test_a_path_in_a_sent_run_leads_nowhere(run: Path, uploads: Uploads, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    for name in ("items.jsonl", "items.run.json"):
        shutil.copy(run / name, tmp_path / name)
    settings = json.loads((tmp_path / "items.run.json").read_text())
    for item in settings["items"]:
        item["image"] = item["image"] and str(secret)
    (tmp_path / "items.run.json").write_text(json.dumps(settings))
    report = run_of([tmp_path / "items.jsonl", tmp_path / "items.run.json"], uploads, "v")
    images = {item.image for item in report.items if item.image}
    assert images
    assert not any(image.exists() for image in images)


def test_a_browsers_new_name_for_one_of_the_two_files_is_no_trouble(
    run: Path, uploads: Uploads, tmp_path: Path
) -> None:
    shutil.copy(run / "items.jsonl", tmp_path / "items (1).jsonl")
    assert len(run_of([tmp_path / "items (1).jsonl", run / "items.run.json"], uploads, "v").items) == 8


@pytest.mark.parametrize(("pattern", "said"), [("items.jsonl", "1 and 0"), ("items.run.json", "0 and 1")])
def test_both_files_are_asked_for(run: Path, uploads: Uploads, pattern: str, said: str) -> None:
    with pytest.raises(InputError, match=f"{said} of them were sent"):
        run_of(files(run, pattern), uploads, "v")


@pytest.mark.parametrize(
    ("name", "text"),
    [("items.jsonl", "{}\n"), ("items.run.json", "no json"), ("items.run.json", '{"config": {}}'), ("items.jsonl", "")],
)
def test_a_damaged_run_is_one_sentence_without_a_path(
    run: Path, uploads: Uploads, tmp_path: Path, name: str, text: str
) -> None:
    for one in ("items.jsonl", "items.run.json"):
        shutil.copy(run / one, tmp_path / one)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refused:
        run_of([tmp_path / "items.jsonl", tmp_path / "items.run.json"], uploads, "v")
    assert str(uploads.folder) not in str(refused.value)
    assert "items" in str(refused.value)
