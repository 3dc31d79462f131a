from __future__ import annotations

import os
from pathlib import Path

import pytest

from ras_ext.registry import PackError, PackNotFoundError
from ras_ext.registry.layout import MIB, check_member, read_member, unlisted


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside",
        "evidence/../../outside.json",
        "evidence\\..\\x.json",
        "C:/windows.json",
        "~/x.json",
        "evidence/a\0.json",
        "..",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused_as_an_escape(name: str) -> None:
    with pytest.raises(PackError, match="would leave the pack's folder"):
        check_member(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ras_config.json",
        "model.bin",
        "evidence/",
        "evidence/run.py",
        "evidence/x.pkl",
        "evidence/.hidden.json",
        "evidence//x.json",
        "evidence/./x.json",
        "evidence/a/b/c/d/e.json",
        "evidence/" + "x" * 300 + ".json",
        "evidence/x.json\n",
        "README.md/",
        None,
        7,
    ],
)
def test_a_name_outside_the_layout_is_refused(name: object) -> None:
    with pytest.raises(PackError, match="files lists"):
        check_member(name)


@pytest.mark.parametrize("name", ["README.md", "ras_vectors.safetensors", "evidence/rows.jsonl", "evidence/a/b_1.png"])
def test_the_names_of_the_layout_pass(name: str) -> None:
    assert check_member(name) == name


def test_a_link_is_followed_inside_the_pack_only(tmp_path: Path) -> None:
    folder, outside = tmp_path / "pack", tmp_path / "secret.md"
    (folder / "evidence").mkdir(parents=True)
    outside.write_text("secret")
    (folder / "evidence" / "real.md").write_text("real")
    os.symlink("evidence/real.md", folder / "README.md")
    assert read_member(folder, "README.md") == b"real"

    os.symlink(outside, folder / "evidence" / "out.md")
    with pytest.raises(PackError, match="a link that leaves the pack's folder"):
        read_member(folder, "evidence/out.md")
    os.symlink(tmp_path, folder / "evidence" / "up")
    with pytest.raises(PackError, match="a link that leaves the pack's folder"):
        read_member(folder, "evidence/up/secret.md")
    os.symlink("loop.md", folder / "evidence" / "loop.md")
    with pytest.raises(PackError, match="cannot be reached"):
        read_member(folder, "evidence/loop.md")


def test_a_hub_cache_may_link_to_its_own_blobs_and_no_further(tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "1234").write_bytes(b"blob")
    os.symlink("../../blobs/1234", snapshot / "README.md")
    assert read_member(snapshot, "README.md") == b"blob"

    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink("../../../secret", snapshot / "ras_config.json")
    with pytest.raises(PackError, match="a link that leaves"):
        read_member(snapshot, "ras_config.json")


def test_only_regular_files_within_their_limit_are_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(PackError, match="not a regular file"):
        read_member(tmp_path, "README.md")
    os.mkfifo(tmp_path / "ras_vectors.safetensors")
    with pytest.raises(PackError, match="not a regular file"):  # a pipe would block the reader for ever
        read_member(tmp_path, "ras_vectors.safetensors")
    (tmp_path / "ras_config.json").write_bytes(b" " * MIB)
    assert len(read_member(tmp_path, "ras_config.json")) == MIB
    (tmp_path / "ras_config.json").write_bytes(b" " * (MIB + 1))
    with pytest.raises(PackError, match=f"{MIB + 1} bytes, more than the {MIB} allowed"):
        read_member(tmp_path, "ras_config.json")


def test_a_huge_file_is_refused_by_its_size_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "ras_vectors.safetensors"
    path.touch()
    os.truncate(path, 2**40)  # sparse: a reader that took it in would run out of memory
    with pytest.raises(PackError, match="more than the"):
        read_member(tmp_path, "ras_vectors.safetensors")


def test_what_is_missing_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError, match="no such folder"):
        read_member(tmp_path / "absent", "ras_config.json")
    with pytest.raises(PackNotFoundError, match="is not a pack"):
        read_member(tmp_path, "ras_config.json")
    with pytest.raises(PackError, match=r"lacks README\.md") as caught:
        read_member(tmp_path, "README.md")
    assert not isinstance(caught.value, PackNotFoundError)


def test_files_beside_the_pack_are_listed(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    for name in ("ras_config.json", "README.md", "evidence/rows.csv", "notes.txt"):
        (tmp_path / name).touch()
    assert unlisted(tmp_path, {"README.md"}) == ["evidence/rows.csv", "notes.txt"]
