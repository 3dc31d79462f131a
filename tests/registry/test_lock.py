"""The lock file: a deployment loads the bytes that were tested, from wherever they were, or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ras_ext.registry import (
    Locked,
    PackError,
    PackNotFoundError,
    locate,
    open_pack,
    push,
    read_lock,
    write_lock,
)


def locked(name: str, file: Path, **options: object) -> Locked:
    """The entry that a name now stands for, written to a lock file."""
    opened = locate(name, **options)
    source = opened.source
    entry = Locked(
        opened.pack.digest,
        source.repo if source else None,
        source.url if source else None,
        opened.revision if source else None,
    )
    write_lock(file, {name: entry})
    return entry


def test_a_locked_name_stays_what_it_was(
    pack_folder: Path, another_pack: Callable[..., Path], tmp_path: Path, own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    registry = tmp_path / "registry"
    first = push(pack_folder, "team/locked", registry=registry)
    lock = tmp_path / "ras.lock.json"
    entry = locked("team/locked", lock, registry=registry)
    assert read_lock(lock) == {"team/locked": entry}
    second = push(another_pack(0.5), "team/locked", registry=registry)
    shutil.rmtree(own_home / "packs")  # a machine that has nothing yet
    # The lock knows where the pack comes from; nothing else needs to be set.
    assert open_pack("team/locked", lock=lock).digest == first.digest
    monkeypatch.setenv("RAS_EXT_LOCK", str(lock))
    assert open_pack("team/locked", refresh=True).digest == first.digest
    monkeypatch.delenv("RAS_EXT_LOCK")
    assert open_pack("team/locked", registry=registry, refresh=True).digest == second.digest
    with pytest.raises(PackNotFoundError, match="drop one"):
        open_pack("team/locked", lock=lock, revision=second.revision)


def test_a_name_that_is_not_locked_is_not_loaded(pack_folder: Path, tmp_path: Path) -> None:
    write_lock(tmp_path / "lock", {"other": Locked("0" * 64)})
    with pytest.raises(PackNotFoundError, match="ras-ext lock"):
        open_pack(pack_folder, lock=tmp_path / "lock")
    with pytest.raises(PackError, match="cannot be read"):
        open_pack(pack_folder, lock=tmp_path / "absent")


def test_a_locked_folder_is_held_by_its_digest(
    pack_folder: Path, another_pack: Callable[..., Path], tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    name = str(pack_folder)
    locked(name, lock)
    assert open_pack(name, lock=lock)
    shutil.rmtree(pack_folder)
    shutil.copytree(another_pack(0.5), pack_folder)
    with pytest.raises(PackError, match="is pinned to the pack with digest"):
        open_pack(name, lock=lock)


def test_a_pack_of_the_locked_commit_with_another_digest_is_refused(pack_folder: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    push(pack_folder, "team/locked", registry=registry)
    entry = locked("team/locked", tmp_path / "lock", registry=registry)
    write_lock(tmp_path / "lock", {"team/locked": Locked("0" * 64, entry.repo, entry.url, entry.revision)})
    with pytest.raises(PackError, match="is pinned to the pack with digest 000000000000"):
        open_pack("team/locked", lock=tmp_path / "lock")


@pytest.mark.parametrize(
    "change",
    [
        {"ras_ext_lock": 2},
        {"packs": []},
        {"packs": {"a": {"digest": "x", "repo": None, "url": None, "revision": None}}},
        {"packs": {"a": {"digest": "0" * 64, "repo": "a/b", "url": None, "revision": None}}},
        {"packs": {"a": {"digest": "0" * 64, "repo": "a/b", "url": None, "revision": "main"}}},
        {"packs": {"a": {"digest": "0" * 64}}},
        {"more": 1},
    ],
)
def test_a_broken_lock_file_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"ras_ext_lock": 1, "packs": {}, **change}))
    with pytest.raises(PackError):
        read_lock(path)
