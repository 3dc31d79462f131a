from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ras_ext.registry import (
    Locked,
    PackError,
    PackMismatchError,
    PackNotFoundError,
    check_target,
    open_pack,
    parse,
    push,
    read_lock,
    read_pack,
    read_trust,
    verify_pack,
    write_lock,
)
from ras_ext.registry.paths import expanded

NO_PATHS = {
    "a NUL": "./a\0b",
    "an unknown user": "~nobody-of-that-name/x",
    "half a character": "./\ud800",
    "too long a name": "n" * 300,
    "too long a path": "n/" * 3000,
}


@pytest.mark.parametrize("text", NO_PATHS.values(), ids=NO_PATHS.keys())
def test_what_cannot_be_a_path_is_refused_by_all_who_take_one(text: str, pack_folder: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: expanded(text),
        lambda: read_pack(text),
        lambda: open_pack(text),
        lambda: parse(text, registry=text),
        lambda: check_target(text),
        lambda: read_lock(text),
        lambda: write_lock(text, {}),
        lambda: read_trust(text),
        lambda: push(pack_folder, text),
    ]
    for call in calls:
        with pytest.raises(PackError, match="cannot be") as caught:
            call()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300
    assert not verify_pack(text).ok


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    os.symlink(tmp_path / "a", tmp_path / "b")
    os.symlink(tmp_path / "b", tmp_path / "a")
    with pytest.raises(PackNotFoundError, match="cannot be reached"):
        read_pack(tmp_path / "a")


def test_a_path_is_expanded_whether_anything_is_there_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    for name in ("absent", "file", "absent/below", "file/below"):
        assert expanded(f"~/{name}") == tmp_path / name


def test_a_lock_file_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PackError, match="cannot be written"):
        write_lock(tmp_path / "file" / "ras.lock.json", {"x": Locked("a" * 64)})


def test_the_text_of_an_error_is_one_printable_line_whatever_it_quotes() -> None:
    for error in (PackError("a\n\x1b[31mb\ud800 → ü…"), PackMismatchError("a\n\x1b[31mb\ud800 → ü…", ("id",))):
        assert str(error) == "a\\n\\x1b[31mb\\ud800 → ü…"
    assert str(PackError()) == ""
    assert str(PackError("as it is, ü")) == "as it is, ü"
