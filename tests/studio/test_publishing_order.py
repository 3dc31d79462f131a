"""Publishing on real folder registries: nothing is written before its dry run, or after anything changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from studio.registry_places import studio_in, with_slope

from ras_ext.errors import InputError, SignatureError
from ras_ext.registry import FolderRegistry, push
from ras_ext.registry.names import builtin_root
from ras_ext.registry.trust import make_key_pair
from ras_ext.studio.places import HUB, MACHINE, SAVED, TEAM, Places
from ras_ext.studio.publishing import Order, publish, rehearse
from ras_ext.studio.registry_view import published
from ras_ext.studio.studio import Studio
from tests.conftest import Subject

ORGANISM = builtin_root() / "organism" / "pack"
ORDER = Order(SAVED, "mine@v1", TEAM, "team/mine", "first")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of the test's own, and no settings of whoever runs it."""
    for name in ("NAMESPACE", "ALIASES", "REGISTRY", "LOCK", "TRUST", "SIGNING_PASSWORD"):
        monkeypatch.delenv(f"RAS_EXT_{name}", raising=False)
    monkeypatch.setenv("RAS_EXT_HOME", str(tmp_path / "home"))


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return tmp_path / "team"


@pytest.fixture
def started(organism: Subject, tmp_path: Path, team: Path) -> tuple[Studio, Places]:
    """A studio of a team with one pack saved."""
    studio, places = studio_in(tmp_path, registry=str(team))
    studio.shelf.save(organism.vectors, "mine", "first")
    return studio, places


def test_a_dry_run_writes_nothing_and_the_push_does_what_it_showed(started: tuple[Studio, Places], team: Path) -> None:
    tried = rehearse(*started, ORDER)
    assert not team.exists()
    assert (tried.shown.dry_run, tried.shown.created, tried.shown.tag) == (True, True, "v1")
    html = published(tried.shown, TEAM)
    assert "nothing was written" in html
    assert str(team) not in html
    done = publish(*started, ORDER, tried)
    assert (done.dry_run, done.tag, done.digest) == (False, "v1", tried.shown.digest)
    (record,) = FolderRegistry(team).records("team/mine")
    assert (record.digest, record.message) == (tried.shown.digest, "first")
    again = rehearse(*started, ORDER)
    assert again.shown.unchanged
    assert "Nothing to do" in published(again.shown, TEAM)


def test_nothing_is_published_without_a_dry_run(started: tuple[Studio, Places], team: Path) -> None:
    with pytest.raises(InputError, match="without a dry run"):
        publish(*started, ORDER, None)
    assert not team.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "team/other"},
        {"message": "second"},
        {"place": MACHINE, "key": "builtin:organism"},
        {"sign": True},
        {"private": False},
        {"to": HUB},
    ],
)
def test_another_setting_needs_a_dry_run_of_its_own(
    started: tuple[Studio, Places], team: Path, change: dict[str, object]
) -> None:
    tried = rehearse(*started, ORDER)
    with pytest.raises(InputError, match="not those of the dry run"):
        publish(*started, replace(ORDER, **change), tried)  # type: ignore[arg-type]
    assert not team.exists()


def test_a_place_that_moved_on_since_the_dry_run_is_looked_at_again(
    started: tuple[Studio, Places], team: Path, organism: Subject, tmp_path: Path
) -> None:
    tried = rehearse(*started, ORDER)
    push(with_slope(organism.vectors, 5.0).save(tmp_path / "theirs"), "team/mine", registry=team)
    with pytest.raises(InputError, match="changed since the dry run"):
        publish(*started, ORDER, tried)
    assert len(FolderRegistry(team).records("team/mine")) == 1
    assert publish(*started, ORDER, rehearse(*started, ORDER)).tag == "v2"


def test_a_pack_that_changed_since_the_dry_run_is_not_published(
    started: tuple[Studio, Places], team: Path, organism: Subject, tmp_path: Path
) -> None:
    tried = rehearse(*started, ORDER)
    folder = started[1].listed(SAVED)[0].path
    assert folder is not None
    shutil.rmtree(folder)
    shutil.copytree(with_slope(organism.vectors, 5.0).save(tmp_path / "other"), folder)
    with pytest.raises(InputError, match="changed since the dry run"):
        publish(*started, ORDER, tried)
    assert not team.exists()


@pytest.mark.parametrize("name", ["", "../out", "/tmp/out", "file:///tmp/out", "s3://bucket/x", "~/x", "a\\b", "a/b/c"])
@pytest.mark.parametrize("to", [TEAM, HUB])
def test_a_push_to_a_path_or_an_address_is_refused(started: tuple[Studio, Places], name: str, to: str) -> None:
    with pytest.raises(InputError, match="a pack is named"):
        rehearse(*started, replace(ORDER, name=name, to=to))


def test_a_push_that_cannot_be_meant_is_one_sentence(started: tuple[Studio, Places], tmp_path: Path) -> None:
    for change, said in (
        ({"name": "team/mine@v3"}, "makes a new version"),
        ({"name": "mine", "to": HUB}, "called owner/name"),
        ({"to": MACHINE}, "no such place"),
        ({"place": TEAM}, "pull it first"),
        ({"key": "gone@v1"}, "there is no pack"),
        ({"sign": True}, "without a key"),
    ):
        with pytest.raises(InputError, match=said):
            rehearse(*started, replace(ORDER, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("to", [TEAM, HUB])
def test_a_registry_in_a_folder_of_that_name_is_not_pushed_to(
    started: tuple[Studio, Places], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.chdir(tmp_path)
    push(ORGANISM, "secret", registry="private/registry")
    with pytest.raises(InputError, match="means something else"):
        rehearse(*started, replace(ORDER, name="private/registry", to=to))
    assert FolderRegistry("private/registry").names() == ["secret"]


def test_the_studios_key_signs_and_its_place_is_not_told(
    organism: Subject, tmp_path: Path, team: Path, started: tuple[Studio, Places]
) -> None:
    pytest.importorskip("model_signing")
    make_key_pair(tmp_path / "me.key", tmp_path / "me.pub")
    studio, places = studio_in(tmp_path, registry=str(team), signing=tmp_path / "me.key")
    order = replace(ORDER, sign=True)
    tried = rehearse(studio, places, order)
    assert tried.shown.signed
    publish(studio, places, order, tried)  # the signature's bytes are new each time, and what is signed is the same
    assert places.verified(TEAM, "team/mine", [(tmp_path / "me.pub").read_text()]).signature == "accepted"
    studio, places = studio_in(tmp_path, registry=str(team), signing=tmp_path / "gone.key")
    with pytest.raises(SignatureError) as error:
        rehearse(studio, places, order)
    assert "the studio's key" in str(places.hidden(error.value))
    assert str(tmp_path) not in str(places.hidden(error.value))
