"""The places packs are in, on real folder registries: what is listed can be read, and no name leads anywhere else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from studio.registry_places import studio_in, with_slope

from ras_ext.errors import InputError, PackError, RegistryError
from ras_ext.registry import diff_packs, push
from ras_ext.registry.names import builtin_root
from ras_ext.registry.trust import make_key_pair
from ras_ext.studio.patience import within
from ras_ext.studio.places import HUB, MACHINE, SAVED, TEAM
from ras_ext.studio.registry_view import difference, history, seen_html, verified
from tests.conftest import Subject

ORGANISM = builtin_root() / "organism" / "pack"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and no settings of whoever runs it."""
    for name in ("NAMESPACE", "ALIASES", "REGISTRY", "LOCK", "TRUST", "SIGNING_PASSWORD"):
        monkeypatch.delenv(f"RAS_EXT_{name}", raising=False)
    monkeypatch.setenv("RAS_EXT_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path / "home"


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A team's registry with one pack."""
    push(ORGANISM, "team/organism", registry=tmp_path / "team", message="first", cache_dir=tmp_path / "colleague")
    return tmp_path / "team"


def test_the_places_are_those_the_studio_was_started_with(
    tmp_path: Path, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studio_in(tmp_path)[1].offered() == [MACHINE, SAVED, HUB]
    assert studio_in(tmp_path, registry=str(team))[1].offered() == [MACHINE, SAVED, TEAM, HUB]
    monkeypatch.setenv("RAS_EXT_REGISTRY", str(team))  # under which no name leads to the Hub
    assert studio_in(tmp_path)[1].offered() == [MACHINE, SAVED, TEAM]
    with pytest.raises(InputError, match="there is no place 'hub'"):
        studio_in(tmp_path)[1].listed(HUB)


def test_what_is_saved_is_listed_by_version_and_read(organism: Subject, tmp_path: Path) -> None:
    studio, places = studio_in(tmp_path)
    assert places.listed(SAVED) == []
    studio.shelf.save(organism.vectors, "mine", "first")
    studio.shelf.save(with_slope(organism.vectors, 5.0), "mine", "steeper")
    assert [entry.key for entry in places.listed(SAVED)] == ["mine@v2", "mine@v1"]
    assert "mine@v2 · for builtin:organism" in places.listed(SAVED)[0].label
    assert places.listed(SAVED, "other") == []
    assert places.seen(SAVED, "mine@v2").pack.config["method"]["alpha"] == 5.0
    assert [one.title for one in places.past(SAVED, "mine@v1")] == ["steeper", "first"]
    assert ("mine@v2 (saved here)", "studio:mine@v2") in studio.pack_choices()


def test_a_pack_is_shown_with_its_facts_versions_and_card(organism: Subject, tmp_path: Path) -> None:
    studio, places = studio_in(tmp_path)
    studio.shelf.save(organism.vectors, "mine", "first & best")
    seen = places.seen(SAVED, "mine@v1")
    html = seen_html(seen, places.past(SAVED, "mine@v1"))
    assert seen.pack.digest in html
    assert "first &amp; best" in html
    assert '<article class="ras-card"' in html
    assert str(tmp_path) not in html
    assert "keeps no history" in history(places.past(MACHINE, "builtin:organism"))


def test_looking_at_the_teams_pack_keeps_nothing_and_a_pull_does(tmp_path: Path, team: Path, own_home: Path) -> None:
    _, places = studio_in(tmp_path, registry=str(team))
    assert [entry.key for entry in places.listed(TEAM)] == ["team/organism"]
    seen = places.seen(TEAM, "team/organism@v1")
    assert not own_home.exists()
    assert [entry.key for entry in places.listed(MACHINE)] == ["builtin:organism"]
    pulled = places.pulled(TEAM, "team/organism")
    assert pulled.pack.digest == seen.pack.digest
    key = places.listed(MACHINE)[-1].key
    assert key == f"team/organism@{pulled.revision[:12]} (fetched from the team's registry)"
    assert places.seen(MACHINE, key).pack.digest == seen.pack.digest
    assert str(tmp_path) not in " ".join(entry.label for entry in places.listed(MACHINE))
    with pytest.raises(InputError, match="on this machine already"):
        places.pulled(MACHINE, key)


def test_two_packs_are_compared(organism: Subject, tmp_path: Path) -> None:
    studio, places = studio_in(tmp_path)
    studio.shelf.save(with_slope(organism.vectors, 5.0), "mine", "steeper")
    a, b = places.seen(MACHINE, "builtin:organism"), places.seen(SAVED, "mine@v1")
    html = difference("builtin:organism", "mine@v1", diff_packs(a.pack, b.pack))
    assert "different content" in html
    assert '<th scope="row">method.alpha</th>' in html
    assert "same bytes" in html  # the prototypes
    assert "the same bytes" in difference("a", "b", diff_packs(a.pack, a.pack))


@pytest.mark.parametrize("key", ["", "/etc", "builtin:../../etc", "mine@v1/../..", "file:///etc", "nothing", None])
def test_what_is_not_listed_on_this_machine_cannot_be_named(tmp_path: Path, key: str) -> None:
    _, places = studio_in(tmp_path)
    for place in (MACHINE, SAVED):
        for ask in (places.seen, places.past, places.verified):
            with pytest.raises(InputError, match="there is no pack"):
                ask(place, key)


@pytest.mark.parametrize("key", ["../team/organism", "file:///tmp/x", "/etc/passwd", "~/x", "a\\b", "", "x@../y"])
def test_hostile_names_reach_no_registry(tmp_path: Path, team: Path, key: str) -> None:
    _, places = studio_in(tmp_path, registry=str(team))
    for place in (TEAM, HUB):
        for ask in (places.seen, places.past, places.pulled, places.verified):
            with pytest.raises(InputError, match="a pack is named"):
                ask(place, key)


@pytest.mark.parametrize("place", [TEAM, HUB])
def test_a_name_that_is_a_folder_where_the_studio_runs_does_not_lead_there(
    tmp_path: Path, team: Path, place: str
) -> None:
    _, places = studio_in(tmp_path, registry=str(team))
    shutil.copytree(ORGANISM, Path("private/pack"))
    push(ORGANISM, "secret", registry="private/registry")
    for name in ("private/pack", "private/registry"):
        for ask in (places.seen, places.pulled, places.verified):
            with pytest.raises(InputError, match="means something else"):
                ask(place, name)


def test_a_pack_is_verified_and_a_damaged_one_is_said(organism: Subject, tmp_path: Path) -> None:
    studio, places = studio_in(tmp_path)
    studio.shelf.save(organism.vectors, "mine", "first")
    assert places.verified(SAVED, "mine@v1").ok
    assert places.verified(MACHINE, "builtin:organism").ok
    folder = places.listed(SAVED)[0].path
    assert folder is not None
    (folder / "README.md").write_text("changed")
    found = places.verified(SAVED, "mine@v1")
    assert not found.ok
    html = places.without_paths(verified("mine@v1", found))
    assert "must not be used" in html
    assert str(tmp_path) not in html
    with pytest.raises(PackError):
        places.seen(SAVED, "mine@v1")


def test_a_signature_is_checked_with_the_key_that_was_sent(tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    for name in ("me", "other"):
        make_key_pair(tmp_path / f"{name}.key", tmp_path / f"{name}.pub")
    push(ORGANISM, "team/signed", registry=tmp_path / "team", sign_key=tmp_path / "me.key")
    _, places = studio_in(tmp_path, registry=str(tmp_path / "team"))
    mine, other = ((tmp_path / f"{name}.pub").read_text() for name in ("me", "other"))
    assert places.verified(TEAM, "team/signed").signature == "unchecked"
    assert places.verified(TEAM, "team/signed", [mine]).signature == "accepted"
    refused = places.verified(TEAM, "team/signed", [other])
    assert (refused.ok, refused.signature) == (False, "refused")
    assert "must not be used" in verified("team/signed", refused)


def test_a_place_that_is_not_there_is_one_sentence_without_its_folder(tmp_path: Path) -> None:
    _, places = studio_in(tmp_path, registry=str(tmp_path / "nowhere"))
    with pytest.raises(RegistryError) as error:
        places.listed(TEAM)
    said = str(places.hidden(error.value))
    assert said.startswith("there is no registry at the team's registry")
    assert str(tmp_path) not in said


def test_what_takes_too_long_is_not_waited_for() -> None:
    import threading

    never = threading.Event()
    with pytest.raises(RegistryError, match=r"the list took longer than 0\.05 seconds"):
        within(0.05, "the list", never.wait)
    never.set()
    assert within(60, "the list", lambda: 3) == 3
    with pytest.raises(KeyError):
        within(60, "the list", lambda: {}["none"])
