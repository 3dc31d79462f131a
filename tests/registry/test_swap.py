from __future__ import annotations

from pathlib import Path

import pytest

from ras_ext.registry import PackError, check_target, swap
from ras_ext.registry.swap import put_in_place, staged


def fill(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("ras_config.json", "README.md"):
        (folder / name).write_text(text)


def texts(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


def test_a_folder_is_put_where_there_was_none_and_in_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "pack"
    for text in ("first", "second"):
        with staged(target) as stage:
            fill(stage, text)
        assert texts(target) == {text}
        assert [path.name for path in target.parent.iterdir()] == ["pack"]


def test_a_block_that_fails_leaves_the_old_folder_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "pack"
    fill(target, "old")

    def write_half() -> None:
        with staged(target) as stage:
            (stage / "ras_config.json").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert texts(target) == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_on_linux_a_folder_that_stands_there_is_replaced_without_a_moment_of_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, target = tmp_path / "one", tmp_path / "two", tmp_path / "pack"
    for folder in (one, two, target):
        fill(folder, folder.name)
    if not swap._exchange(one, two):
        pytest.skip("this file system cannot exchange two folders in one step")
    assert (texts(one), texts(two)) == ({"two"}, {"one"})

    def rename(source: Path, destination: Path) -> None:
        raise AssertionError(f"{destination} would be absent for a moment")

    monkeypatch.setattr(swap.os, "rename", rename)
    with staged(target) as stage:
        fill(stage, "new")
    assert texts(target) == {"new"}
    monkeypatch.setattr(swap, "_exchange", lambda stage, target: False)
    with pytest.raises(AssertionError), staged(target) as stage:  # the slower way does rename
        fill(stage, "newer")


def test_where_folders_cannot_be_exchanged_two_renames_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_exchange", lambda stage, target: False)
    stage, target = tmp_path / "stage", tmp_path / "pack"
    fill(stage, "new")
    fill(target, "old")
    put_in_place(stage, target)
    assert texts(target) == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_the_second_of_two_renames_failing_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_exchange", lambda stage, target: False)
    target = tmp_path / "pack"
    fill(target, "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "absent", target)
    assert texts(target) == {"old"}


def test_only_a_free_or_a_packs_own_folder_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_target(tmp_path / "new" / "pack") == tmp_path / "new" / "pack"
    fill(tmp_path / "old", "old")
    assert check_target(tmp_path / "old") == tmp_path / "old"

    (tmp_path / "old" / "thesis.tex").touch()
    with pytest.raises(PackError, match=r"thesis\.tex"):
        check_target(tmp_path / "old")
    with pytest.raises(PackError, match="is a file"):
        check_target(tmp_path / "old" / "README.md")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(PackError, match="current folder"):
        check_target(".")
