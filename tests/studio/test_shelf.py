"""The studio's folder: packs by name and version, runs by name, and no path in either."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ras_ext.errors import InputError
from ras_ext.loading import load_vectors
from ras_ext.registry import FolderRegistry
from ras_ext.studio.shelf import ANSWERS, HERE, Shelf
from tests.conftest import Subject

BAD = ("", "../up", "/etc/passwd", "a/b/c", "a b", ".hidden", "a\0b", "x" * 97, "a\n", "ä")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("RAS_EXT_HOME", str(tmp_path / "home"))  # which holds what was fetched
    return Shelf(tmp_path / "studio")


def test_a_shelf_of_which_nothing_was_kept_is_empty_and_makes_no_folder(shelf: Shelf) -> None:
    assert shelf.runs() == []
    assert [offer.name for offer in shelf.packs()] == ["builtin:organism"]
    assert not shelf.folder.exists()


def test_every_save_is_a_new_version_and_the_newest_is_offered_first(shelf: Shelf, organism: Subject) -> None:
    assert shelf.save(organism.vectors, "mine", "first").tag == "v1"
    assert shelf.save(replace(organism.vectors, alpha=3.0), "mine", "steeper").tag == "v2"
    again = shelf.save(replace(organism.vectors, alpha=3.0), "mine", "the same")
    assert (again.tag, again.unchanged) == ("v2", True)
    saved = [offer for offer in shelf.packs() if offer.name.startswith(HERE)]
    assert [offer.label for offer in saved] == ["mine@v2 (saved here)", "mine@v1 (saved here)"]
    assert {offer.base_model for offer in saved} == {"builtin:organism"}


def test_an_offer_loads_exactly_what_was_saved(shelf: Shelf, organism: Subject) -> None:
    shelf.save(organism.vectors, "team/mine", "first")
    shelf.save(replace(organism.vectors, alpha=3.0), "team/mine", "steeper")
    for offer, alpha in zip(shelf.packs(), (3.0, organism.vectors.alpha), strict=False):
        name, registry = shelf.place(offer.name)
        assert load_vectors(name, registry=registry).alpha == pytest.approx(alpha)


def test_a_pack_that_was_loaded_from_the_shelf_is_offered_once(shelf: Shelf, organism: Subject) -> None:
    shelf.save(organism.vectors, "mine", "first")
    load_vectors("mine@v1", registry=str(shelf.registry))  # which keeps a copy of its own
    assert sorted(offer.name for offer in shelf.packs()) == ["builtin:organism", f"{HERE}mine@v1"]


def test_eight_who_save_at_once_get_eight_versions(shelf: Shelf, organism: Subject) -> None:
    versions: list[str] = []

    def save(alpha: float) -> None:
        versions.append(shelf.save(replace(organism.vectors, alpha=alpha), "mine", "at once").tag)

    threads = [threading.Thread(target=save, args=(1.0 + number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(versions) == [f"v{number}" for number in range(1, 9)]
    assert len(FolderRegistry(shelf.registry).records("mine")) == 8


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_name_is_refused_before_anything_is_written(
    shelf: Shelf, organism: Subject, name: str
) -> None:
    with pytest.raises(InputError, match="a pack cannot be called"):
        shelf.save(organism.vectors, name, "")
    assert not shelf.folder.exists()


@pytest.mark.parametrize("name", [*BAD, "a/b"])
def test_a_run_has_a_name_and_never_a_path(shelf: Shelf, name: str) -> None:
    with pytest.raises(InputError, match="a run cannot be called"):
        shelf.run(name)


def test_runs_are_those_folders_that_hold_answers(shelf: Shelf) -> None:
    for name in ("second", "first"):
        path = shelf.run(name)
        path.parent.mkdir(parents=True)
        path.write_text("{}\n")
    (shelf.folder / "runs" / "empty").mkdir()
    (shelf.folder / "runs" / "stray").write_text("")
    assert shelf.runs() == ["first", "second"]
    assert shelf.run("first") == shelf.folder / "runs" / "first" / ANSWERS
