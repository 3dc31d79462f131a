"""Whatever lies in a file, a reader returns or raises the project's own error: no other one, no hang, no flood.

3,550 cases, the same in every run; RAS_EXT_FUZZ=20 takes twenty times as many, and new ones. The sums of a damaged
pack are made to fit, so that the checks behind them are reached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import Hung, broken_json, broken_tensors, fuzz, spliced, weigh
from hypothesis import strategies as st

from ras_ext.registry import (
    Direction,
    FolderRegistry,
    Locked,
    Pack,
    RawTensor,
    Source,
    aliases,
    card_text,
    check_signature,
    diff_packs,
    direction_of,
    list_packs,
    locate,
    make_key_pair,
    parse,
    read_direction,
    read_gguf,
    read_lock,
    read_pack,
    read_safetensors,
    read_trust,
    sign,
    verify_pack,
    write_gguf,
    write_lock,
    write_pack,
    write_safetensors,
)
from ras_ext.registry.errors import PackError
from ras_ext.registry.layout import CONFIG_FILE, TENSORS_FILE
from ras_ext.registry.lock import locked_as
from ras_ext.registry.store import Store
from ras_ext.registry.trust import Requirement

Reader = Callable[[bytes], object]
# Names and paths as somebody may write them, and as nobody should.
LONG = st.integers(1, 6000).map(lambda length: "n" * length)
PATHS = LONG | st.text(st.characters(), max_size=30) | st.text("./~@:\\ab-\0\n\ud800", min_size=1, max_size=12)
PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"


@pytest.fixture
def full_pack(tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]) -> Pack:
    """A pack with every tensor and every optional field."""
    vector = RawTensor("F16", (6,), np.ones(6, "<f2").tobytes())
    everything = {**tensors, "unsafe_direction": vector, "center": vector, "safe_prototypes": tensors["prototypes"]}
    config["method"]["token_risk"] = {"layer": 1, "slope": 4.0, "bias": 0.1}
    return write_pack(tmp_path / "full", config, everything, {"evidence/rows.jsonl": b"{}\n"})


def used(pack: Pack, beside: Pack) -> None:
    """All that is done with a pack once it has been read."""
    assert pack.content_sha256
    assert "# " in card_text(pack.config)
    assert diff_packs(beside, pack).lines()
    json.dumps(diff_packs(pack, beside).to_dict(), allow_nan=False)
    for kind in ("refusal", "prototype", "unsafe"):
        with contextlib.suppress(PackError):
            direction_of(pack, kind)


@pytest.fixture
def read_config(full_pack: Pack, tmp_path: Path) -> Reader:
    damaged = tmp_path / "damaged"
    full_pack.copy_to(damaged)

    def read(raw: bytes) -> None:
        (damaged / CONFIG_FILE).write_bytes(raw)
        assert isinstance(verify_pack(damaged).ok, bool)
        used(read_pack(damaged), full_pack)

    return read


@pytest.fixture
def read_tensors(full_pack: Pack, tmp_path: Path) -> Reader:
    damaged = tmp_path / "damaged"
    full_pack.copy_to(damaged)
    text = full_pack.members[CONFIG_FILE]
    listed = full_pack.config["files"][TENSORS_FILE].encode()

    def read(raw: bytes) -> None:
        (damaged / TENSORS_FILE).write_bytes(raw)
        (damaged / CONFIG_FILE).write_bytes(text.replace(listed, hashlib.sha256(raw).hexdigest().encode()))
        used(read_pack(damaged), full_pack)

    return read


def test_a_damaged_config_is_read_or_refused(full_pack: Pack, read_config: Reader) -> None:
    sound = full_pack.members[CONFIG_FILE]
    fuzz(broken_json(json.loads(sound)), read_config, 500)
    fuzz(spliced(sound) | st.binary(max_size=200), read_config, 100)


def test_damaged_tensors_are_read_or_refused(full_pack: Pack, read_tensors: Reader) -> None:
    fuzz(broken_tensors(full_pack.members[TENSORS_FILE]), read_tensors, 500)
    fuzz(st.binary(max_size=200), read_tensors, 100)


def test_a_damaged_lock_file_is_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "ras.lock.json"
    entries = {"ours": Locked("a" * 64, "me/ours", None, "b" * 40), "here": Locked("c" * 64)}
    write_lock(file, {**entries, "team": Locked("d" * 64, "x", f"file://{tmp_path}/registry", "e" * 40)})
    sound = json.loads(file.read_bytes())

    def read(raw: bytes) -> None:
        file.write_bytes(raw)
        for name, entry in read_lock(file).items():
            assert locked_as(name, file) == entry
            assert entry.source is None or "/" not in entry.source.key
        locked_as("ours", file)

    def load(raw: bytes) -> None:
        file.write_bytes(raw)
        for name in ("team", "here", "ours"):
            locate(name, lock=file, local_files_only=True)

    fuzz(broken_json(sound) | st.binary(max_size=100), read, 200)
    fuzz(broken_json(sound), load, 60)


def test_a_damaged_trust_file_is_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    (tmp_path / "key.pub").write_text(PEM)
    sound = {"me": [PEM, "key.pub"], "*": ["./key.pub"], "nobody": []}
    file.write_text(json.dumps(sound))
    assert read_trust(file)["me"] == (PEM.encode(), PEM.encode())

    def read(raw: bytes) -> None:
        file.write_bytes(raw)
        read_trust(file)

    def name(text: str) -> None:
        read(json.dumps({"me": [text]}).encode("ascii"))

    fuzz(broken_json(sound) | st.binary(max_size=100), read, 200)
    fuzz(PATHS | PATHS.map(lambda text: f"{text}-----BEGIN PUBLIC KEY-----"), name, 100)


def test_a_damaged_signature_or_key_is_accepted_or_refused(full_pack: Pack, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "me.key", tmp_path / "me.pub")
    key, signature = (tmp_path / "me.pub").read_bytes(), sign(full_pack, tmp_path / "me.key")
    check_signature(full_pack, signature, [key], "me")

    def check(raw: bytes) -> None:
        check_signature(full_pack, raw, [key], "me")

    fuzz(broken_json(json.loads(signature)) | spliced(signature) | st.binary(max_size=100), check, 150)
    fuzz(spliced(key), lambda raw: check_signature(full_pack, signature, [raw], "me"), 100)


def test_a_damaged_alias_table_is_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "aliases.json"
    entry = {"repo": "{namespace}/ours", "base_model": "org/model", "revision": "v2", "digest": "a" * 64}
    sound = {"ours": entry, "theirs": {"repo": "they/theirs"}}

    def read(raw: bytes) -> None:
        file.write_bytes(raw)
        for name, alias in aliases({"RAS_EXT_ALIASES": str(file)}).items():
            assert alias.name == name
            assert "/" not in Source(alias.repo).key

    def name(text: str) -> None:
        parse(text)
        parse(text, registry=tmp_path)

    fuzz(broken_json(sound) | st.binary(max_size=100), read, 200)
    fuzz(PATHS, name, 100)


def test_a_damaged_version_record_counts_as_none_or_is_refused(full_pack: Pack, tmp_path: Path) -> None:
    root = tmp_path / "registry"
    registry = FolderRegistry(root)
    registry.push(full_pack, full_pack.members, "me/ours")
    file = root / "me" / "ours" / "versions" / "000001.json"
    sound = json.loads(file.read_bytes())
    store = Store(tmp_path / "store")

    def read(raw: bytes) -> None:
        file.write_bytes(raw)
        assert len(registry.records("me/ours")) <= 1
        assert len(registry.packs()) <= 1
        registry.history("me/ours")

    def fetch(raw: bytes) -> None:
        file.write_bytes(raw)
        assert registry.fetch("me/ours", None, store, Requirement(quiet=True)).digest == full_pack.digest

    fuzz(broken_json(sound) | st.binary(max_size=100), read, 200)
    fuzz(broken_json(sound), fetch, 60)


@pytest.mark.parametrize("note", ["refs/main", "source.json"])
def test_a_damaged_note_of_the_store_counts_as_none(full_pack: Pack, own_home: Path, note: str) -> None:
    store, source, revision = Store(own_home / "packs"), Source("me/ours"), "a" * 40
    store.admit(full_pack.path, source, revision, Requirement(quiet=True))
    store.point(source, None, revision, full_pack.digest)
    file = own_home / "packs" / source.key / note
    sound = json.loads(file.read_bytes())

    def read(raw: bytes) -> None:
        file.write_bytes(raw)
        kept = store.find(source, None)
        assert kept is None or kept.folder.is_dir()
        assert len(list(store.copies())) <= 1
        json.dumps([entry.to_dict() for entry in list_packs()])

    fuzz(broken_json(sound) | st.binary(max_size=100), read, 75)


@pytest.fixture
def direction() -> Direction:
    vectors = {layer: np.arange(6, dtype=np.float32) - layer for layer in (1, 2, 3)}
    return Direction(vectors, "org/model", "unsafe", "notes")


def reader_of(read: Callable[[Path], Direction], file: Path) -> Reader:
    def reader(raw: bytes) -> None:
        file.write_bytes(raw)
        found = read(file)
        assert found.hidden_size >= 1
        write_safetensors(found, file.with_suffix(".out"))
        if 0 not in found.vectors:
            write_gguf(found, file.with_suffix(".out"))

    return reader


def test_damaged_files_of_other_tools_are_read_or_refused(direction: Direction, tmp_path: Path) -> None:
    plain = write_safetensors(direction, tmp_path / "plain").read_bytes()
    control = write_gguf(direction, tmp_path / "control").read_bytes()
    header = control[: -3 * 32]
    file = tmp_path / "vector"
    fuzz(broken_tensors(plain), reader_of(read_safetensors, file), 250)
    fuzz(spliced(header).map(lambda raw: raw + bytes(96)) | spliced(control), reader_of(read_gguf, file), 300)
    fuzz(
        st.binary(max_size=100) | st.binary(max_size=100).map(lambda raw: b"GGUF" + raw),
        reader_of(read_direction, file),
        100,
    )


def test_a_small_file_takes_little_memory(
    full_pack: Pack, read_config: Reader, read_tensors: Reader, direction: Direction, tmp_path: Path
) -> None:
    config, vectors = full_pack.members[CONFIG_FILE], full_pack.members[TENSORS_FILE]
    control = write_gguf(direction, tmp_path / "control").read_bytes()
    read_config(config)  # what is imported on the way is not the file's
    weigh(broken_json(json.loads(config)), read_config, 60)
    weigh(broken_tensors(vectors), read_tensors, 60)
    weigh(spliced(control), reader_of(read_gguf, tmp_path / "vector"), 60)


# The same property on readers with a fault planted in them: each has to be found.


def test_a_reader_that_lets_another_error_out_is_found(full_pack: Pack) -> None:
    def believes_the_header(raw: bytes) -> object:
        size = int.from_bytes(raw[:8], "little")
        return [entry["dtype"] for entry in json.loads(raw[8 : 8 + size]).values()]

    with pytest.raises((KeyError, TypeError, AttributeError, ValueError)):
        fuzz(broken_tensors(full_pack.members[TENSORS_FILE]), believes_the_header, 200, shrink=False)


def test_a_reader_that_hangs_is_found(direction: Direction, tmp_path: Path) -> None:
    def follows_a_length(raw: bytes) -> None:
        for _ in range(int.from_bytes(raw[8:16], "little")):
            pass

    control = write_gguf(direction, tmp_path / "control").read_bytes()
    with pytest.raises(Hung):
        fuzz(spliced(control[:24]), follows_a_length, 300, seconds=0.5, shrink=False)


def test_a_reader_that_takes_the_memory_a_file_claims_is_found(full_pack: Pack) -> None:
    def makes_room(raw: bytes) -> None:
        bytearray(min(int.from_bytes(raw[:8], "little"), 2**27))

    with pytest.raises(AssertionError):
        weigh(broken_tensors(full_pack.members[TENSORS_FILE]), makes_room, 200, shrink=False)


def test_a_message_of_many_lines_is_found(full_pack: Pack) -> None:
    def quotes(raw: bytes) -> None:
        raise PackError(raw.decode("latin-1"))

    with pytest.raises(AssertionError):
        fuzz(spliced(full_pack.members[CONFIG_FILE]), quotes, 10, shrink=False)
