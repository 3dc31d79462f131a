"""Registries without the Hub: a directory, an address in memory, a bucket – the same push, pull, list and history."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ras_ext.registry import (
    FolderRegistry,
    PackError,
    PackNotFoundError,
    RegistryError,
    history,
    list_packs,
    open_pack,
    pull,
    push,
    read_pack,
    search,
)


@pytest.fixture(scope="module")
def bucket_server() -> Iterator[str]:
    """A server that speaks S3, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            pytest.fail("the S3 server did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["directory", "file", "memory", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a registry that is yet to be made."""
    if request.param == "directory":
        return str(tmp_path / "registry")
    if request.param == "file":
        return f"file://{tmp_path}/registry"
    if request.param == "memory":
        return f"memory://registry-{uuid.uuid4().hex}"
    import boto3

    url = request.getfixturevalue("bucket_server")
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"packs-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/registry"


def test_push_list_pull_and_history(
    registry: str, pack_folder: Path, another_pack: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match="there is no registry"):
        list_packs(registry)
    first = push(pack_folder, "team/tiny", registry=registry, message="First")
    assert (first.tag, first.created, first.unchanged) == ("v1", True, False)
    again = push(pack_folder, "team/tiny", registry=registry)
    assert (again.tag, again.unchanged, again.revision) == ("v1", True, first.revision)
    new = another_pack(0.5)
    planned = push(new, "team/tiny", registry=registry, dry_run=True)
    assert (planned.tag, planned.dry_run) == ("v2", True)
    second = push(new, "team/tiny", registry=registry, parent_commit=first.revision)
    assert (second.tag, second.created) == ("v2", False)
    push(pack_folder, "alone", registry=registry)

    assert [(entry.name, entry.tags, entry.digest) for entry in list_packs(registry)] == [
        ("alone", ("v1",), first.digest),
        ("team/tiny", ("v2",), second.digest),
    ]
    assert [entry.name for entry in search("TINY", registry=registry)] == ["team/tiny"]
    assert search(base_model="org/other", registry=registry) == []
    assert [(v.tags, v.title) for v in history("team/tiny", registry=registry)][1] == (("v1",), "First")

    opened = pull("team/tiny", tmp_path / "mine", registry=registry)
    assert (opened.pack.digest, opened.revision) == (second.digest, second.revision)
    assert read_pack(tmp_path / "mine").digest == second.digest
    assert open_pack("team/tiny@v1", registry=registry).digest == first.digest
    assert open_pack(f"team/tiny@{first.revision}", registry=registry).digest == first.digest
    with pytest.raises(RegistryError, match="has moved on"):
        push(another_pack(0.6), "team/tiny", registry=registry, parent_commit=first.revision)
    for name, says in (("team/none", "holds no pack team/none"), ("team/tiny@v9", "has no revision 'v9'")):
        with pytest.raises(PackNotFoundError, match=says):
            open_pack(name, registry=registry)


def test_an_address_leads_into_the_registry(registry: str, pack_folder: Path) -> None:
    pushed = push(pack_folder, "team/tiny", registry=registry)
    address = f"{registry}/team/tiny"
    assert open_pack(address).digest == open_pack(f"{address}@v1").digest == pushed.digest
    assert push(pack_folder, address).unchanged
    # The registry alone takes the pack's own name.
    assert push(pack_folder, registry).name == "tiny"


def test_two_publishers_that_take_the_same_number(registry: str, another_pack: Callable[..., Path]) -> None:
    """The second finds the number taken and comes after, whatever the file system."""
    place = FolderRegistry(registry)
    push(another_pack(0.1), "team/tiny", registry=registry)
    raced = FolderRegistry(registry)
    looks = iter([[], None])
    seen = raced.records

    def first_look_is_old(name: str) -> list:
        return seen(name) if next(looks, None) is None else []

    raced.records = first_look_is_old  # type: ignore[method-assign]
    pack = read_pack(another_pack(0.2))
    assert raced.push(pack, pack.members, "team/tiny").tag == "v2"
    assert len(place.records("team/tiny")) == 2


def test_what_was_changed_behind_its_back_is_refused(tmp_path: Path, pack_folder: Path, own_home: Path) -> None:
    registry = tmp_path / "registry"
    pushed = push(pack_folder, "team/tiny", registry=registry)
    (own_home / "packs").rename(own_home / "away")
    folder = registry / "team/tiny/packs" / str(pushed.revision)
    for name in ("README.md", "ras_config.json", "ras_vectors.safetensors"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept[:-1] + b" ")
        with pytest.raises(PackError, match="was changed after it was pushed"):
            open_pack("team/tiny", registry=registry)
        (folder / name).write_bytes(kept + b"x" * (40 * 2**20))
        with pytest.raises(PackError):
            open_pack("team/tiny", registry=registry)
        (folder / name).unlink()
        with pytest.raises(PackError, match="lacks"):
            open_pack("team/tiny", registry=registry)
        (folder / name).write_bytes(kept)
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/etc/hostname")
    with pytest.raises(PackError):
        open_pack("team/tiny", registry=registry)
    assert not list((own_home / "packs").rglob("ras_config.json"))


def test_a_version_that_was_cut_short_is_no_version(tmp_path: Path, pack_folder: Path) -> None:
    registry = tmp_path / "registry"
    push(pack_folder, "team/tiny", registry=registry)
    versions = registry / "team/tiny/versions"
    whole = json.loads((versions / "000001.json").read_bytes())
    (versions / "000002.json").write_text('{"version": 2, "rev')
    (versions / "000003.json").write_text(json.dumps({**whole, "version": 3, "files": {"../x": {}}}))
    assert open_pack("team/tiny", registry=registry, refresh=True).digest == whole["digest"]
    assert [entry.tags for entry in history("team/tiny", registry=registry)] == [("v1",)]


@pytest.mark.parametrize("name", ["../up", "a/b/c", "a/../b", "a b", "", "a/.hidden"])
def test_names_stay_inside_the_registry(tmp_path: Path, pack_folder: Path, name: str) -> None:
    pack = read_pack(pack_folder)
    with pytest.raises(PackError):
        FolderRegistry(tmp_path / "registry").push(pack, pack.members, name)
    assert not (tmp_path / "up").exists()


def test_what_a_folder_registry_has_not(tmp_path: Path, pack_folder: Path) -> None:
    for option in ({"create_pr": True}, {"branch": "next"}, {"private": True}):
        with pytest.raises(RegistryError, match="folder registry"):
            push(pack_folder, "team/tiny", registry=tmp_path / "registry", **option)
    for address in ("nosuch://somewhere", "s3://"):
        with pytest.raises(PackError):
            list_packs(address)
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError):
        push(pack_folder, "team/tiny", registry=tmp_path / "file")
