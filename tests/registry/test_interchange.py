"""Directions out of packs and into them, against the real gguf and safetensors packages."""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.numpy

from ras_ext.registry import (
    Direction,
    MissingExtraError,
    PackError,
    RawTensor,
    direction_of,
    import_direction,
    read_direction,
    read_gguf,
    read_pack,
    read_safetensors,
    write_gguf,
    write_pack,
    write_safetensors,
)

# The fixture's model: six entries, two layers.
HIDDEN, LAST = 6, 1


def raw(values: np.ndarray) -> RawTensor:
    return RawTensor("F32", values.shape, values.astype("<f4").tobytes())


@pytest.fixture
def full_pack(tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]) -> Path:
    """A pack with every tensor there is."""
    rng = np.random.default_rng(1)
    tensors["safe_prototypes"] = raw(rng.standard_normal((5, HIDDEN)))
    tensors["unsafe_direction"] = raw(rng.standard_normal(HIDDEN))
    return write_pack(tmp_path / "full", config, tensors, {"evidence/rows.jsonl": b"{}\n"}).path


@pytest.fixture
def three_layers() -> Direction:
    rng = np.random.default_rng(2)
    vectors = {layer: rng.standard_normal(HIDDEN).astype(np.float32) for layer in (9, 1, 4)}
    return Direction(vectors, "org/some model ü", "unsafe", "what is lost")


def same(left: Direction, right: Direction) -> bool:
    texts = all(getattr(left, name) == getattr(right, name) for name in ("model_hint", "kind", "notes"))
    return (
        texts
        and left.layers == right.layers
        and all(left.vectors[layer].tobytes() == right.vectors[layer].tobytes() for layer in left.layers)
    )


def values(pack_folder: Path, name: str) -> np.ndarray:
    tensor = read_pack(pack_folder).tensors[name]
    return np.frombuffer(tensor.data, "<f4").reshape(tensor.shape).astype(np.float64)


def test_the_directions_of_a_pack_are_what_their_formulas_say(full_pack: Path) -> None:
    pack = read_pack(full_pack)
    unsafe, safe = values(full_pack, "prototypes"), values(full_pack, "safe_prototypes")
    weights = np.array([1.0, 0.3, 0.09]) / 1.39
    expected = {
        "refusal": sum(weights[n] * (unsafe[n] - safe[n]) for n in range(3)),
        "prototype": sum(weights[n] * unsafe[n] for n in range(3)),
        "unsafe": values(full_pack, "unsafe_direction"),
    }
    for kind, wanted in expected.items():
        found = direction_of(pack, kind)
        assert (found.layers, found.kind, found.model_hint) == ((LAST,), kind, "org/tiny-llava")
        assert found.vectors[LAST].dtype == np.float32
        np.testing.assert_allclose(found.vectors[LAST], wanted, rtol=1e-6)
    twin = sum((unsafe[n] - safe[n]) / 3 for n in range(3))
    assert not np.allclose(direction_of(pack).vectors[LAST], twin, rtol=1e-3)


def test_a_direction_stands_at_the_layer_asked_for(full_pack: Path, forge: Callable[..., None]) -> None:
    pack = read_pack(full_pack)
    assert direction_of(pack, layer=0).layers == (0,)
    for layer in (-1, 2, True, "1"):
        with pytest.raises(PackError, match="0 to 1, got"):
            direction_of(pack, layer=layer)  # type: ignore[arg-type]


def test_the_unsafe_direction_stands_behind_the_layer_its_states_were_taken_from(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    vector = raw(np.ones(HIDDEN))
    tensors.update(unsafe_direction=vector, center=vector)
    for state, layer in ((1, 0), (2, 1)):
        config["method"]["token_risk"] = {"layer": state, "slope": 4.0, "bias": 0.1}
        pack = write_pack(tmp_path / str(state), config, tensors)
        assert direction_of(pack, "unsafe").layers == (layer,)
    config["method"]["token_risk"]["layer"] = 0
    pack = write_pack(tmp_path / "embedding", config, tensors)
    with pytest.raises(PackError, match="before the first layer"):
        direction_of(pack, "unsafe")


def test_a_pack_without_the_tensors_says_which_directions_it_has(pack_folder: Path) -> None:
    pack = read_pack(pack_folder)
    with pytest.raises(PackError, match=r"no safe_prototypes.*it has those for: prototype$"):
        direction_of(pack, "refusal")
    with pytest.raises(PackError, match="no unsafe_direction"):
        direction_of(pack, "unsafe")
    with pytest.raises(PackError, match="one of refusal, unsafe, prototype, got: 'other'"):
        direction_of(pack, "other")


def test_every_file_says_what_it_lacks(full_pack: Path, tmp_path: Path) -> None:
    direction = direction_of(read_pack(full_pack))
    fields = gguf.GGUFReader(write_gguf(direction, tmp_path / "a.gguf")).fields
    said = fields["general.description"].contents()
    raw_bytes = write_safetensors(direction, tmp_path / "a.safetensors").read_bytes()
    metadata = json.loads(raw_bytes[8 : 8 + int.from_bytes(raw_bytes[:8], "little")])["__metadata__"]
    assert metadata["notes"] == said
    for lost in ("no risk score", "no schedule", "over-refusal", "before that norm"):
        assert lost in said


def test_a_control_vector_is_what_llama_cpp_and_repeng_expect(three_layers: Direction, tmp_path: Path) -> None:
    path = write_gguf(three_layers, tmp_path / "new" / "v.gguf")
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.architecture"].contents() == "controlvector"
    assert reader.fields["controlvector.model_hint"].contents() == three_layers.model_hint
    assert reader.fields["controlvector.layer_count"].contents() == 3
    assert reader.fields["controlvector.layer_count"].types == [gguf.GGUFValueType.UINT32]
    assert [tensor.name for tensor in reader.tensors] == ["direction.1", "direction.4", "direction.9"]
    for tensor in reader.tensors:
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
        assert list(tensor.shape) == [HIDDEN]
        layer = int(tensor.name.removeprefix("direction."))
        assert tensor.data.tobytes() == three_layers.vectors[layer].tobytes()
    assert same(read_gguf(path), three_layers)
    assert write_gguf(three_layers, tmp_path / "again.gguf").read_bytes() == path.read_bytes()
    changed = replace(three_layers, vectors={**three_layers.vectors, 4: -three_layers.vectors[4]})
    assert not same(read_gguf(path), changed)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["v.gguf"]


def test_layer_zero_is_never_written_for_llama_cpp(full_pack: Path, tmp_path: Path) -> None:
    first = direction_of(read_pack(full_pack), layer=0)
    with pytest.raises(PackError, match="cannot steer layer 0"):
        write_gguf(first, tmp_path / "v.gguf")
    assert list(tmp_path.glob("*v.gguf*")) == []
    assert read_safetensors(write_safetensors(first, tmp_path / "v.safetensors")).layers == (0,)


def test_a_control_vector_of_another_writer_is_read(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "controlvector")
    writer.add_string("controlvector.model_hint", "mistral")
    writer.add_int32("controlvector.layer_count", 2)
    writer.add_custom_alignment(64)
    writer.add_array("some.words", ["a", "bc", ""])
    writer.add_array("some.numbers", [1.5, 2.5])
    writer.add_bool("some.flag", True)
    for layer in (2, 1):
        writer.add_tensor(f"direction.{layer}", np.full(5, layer, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read_direction(tmp_path / "v.gguf")
    assert (found.model_hint, found.kind, found.layers, found.hidden_size) == ("mistral", "plain", (1, 2), 5)
    assert found.vectors[2].tolist() == [2.0] * 5


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("habit", ["direction.{}", "layers.{}", "layer_{}", "layer.{}", "{}"])
def test_plain_files_of_every_habit_are_read(tmp_path: Path, habit: str, dtype: Any) -> None:
    written = {habit.format(layer): np.arange(HIDDEN, dtype=dtype) + layer for layer in (0, 3, 11)}
    safetensors.numpy.save_file(written, tmp_path / "v.safetensors")
    found = read_direction(tmp_path / "v.safetensors")
    assert (found.layers, found.kind, found.model_hint, found.notes) == ((0, 3, 11), "plain", "unknown", "")
    assert found.vectors[11].tolist() == [11.0, 12.0, 13.0, 14.0, 15.0, 16.0]


def test_a_plain_file_is_read_by_the_library_and_back(three_layers: Direction, tmp_path: Path) -> None:
    path = write_safetensors(three_layers, tmp_path / "v.safetensors")
    loaded = safetensors.numpy.load_file(path)
    assert {name: array.tobytes() for name, array in loaded.items()} == {
        f"direction.{layer}": array.tobytes() for layer, array in three_layers.vectors.items()
    }
    assert same(read_safetensors(path), three_layers)


def plain(entries: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list[Any], offsets: list[Any], dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_bf16_and_a_row_per_layer_are_read(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(plain({"7": entry([1, 3], [0, 6], "BF16")}, b"\x80\x3f\x00\xc0\x00\x00"))
    assert read_direction(tmp_path / "v").vectors[7].tolist() == [1.0, -2.0, 0.0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated or no safetensors"),
        (b"\0\0\0", "truncated or no safetensors"),
        ((2**63 - 1).to_bytes(8, "little") + b"{}", "truncated or no safetensors"),
        (plain({}), "holds 0 tensors"),
        (plain({str(n): entry([1], [4 * n, 4 * n + 4]) for n in range(257)}, bytes(1028)), "holds 257 tensors"),
        (plain({"prototypes": entry([2], [0, 8])}, bytes(8)), "named direction.N"),
        (plain({"layer_-1": entry([2], [0, 8])}, bytes(8)), "named direction.N"),
        (plain({"1": entry([1], [0, 4]), "layer_1": entry([1], [4, 8])}, bytes(8)), "names layer 1 twice"),
        (plain({"1": entry([1], [0, 4]), "2": entry([1], [0, 4])}, bytes(8)), "damaged"),
        (plain({"1": entry([1], [0, 4])}, bytes(8)), "damaged"),
        (plain({"1": entry([2], [0, 8])}, bytes(4)), "damaged"),
        (plain({"1": entry([2], [8, 0])}, bytes(8)), "damaged"),
        (plain({"1": entry([2], [0.0, 8.0])}, bytes(8)), "damaged"),
        (plain({"1": 5}), "must have dtype, shape and data_offsets"),
        (plain({"1": entry([2], [0, 16], "F64")}, bytes(16)), "must be F32, F16 or BF16, got: F64"),
        (plain({"1": entry([2], [0, 8], ["F32"])}, bytes(8)), "must be F32, F16 or BF16"),
        (plain({"1": entry([2, 2], [0, 16])}, bytes(16)), r"must have shape \(hidden_size,\)"),
        (plain({"1": entry([], [0, 4])}, bytes(4)), r"must have shape \(hidden_size,\)"),
        (plain({"1": entry([True], [0, 4])}, bytes(4)), r"must have shape \(hidden_size,\)"),
        (plain({"1": entry([2**40], [0, 2**42])}, bytes(4)), r"must have shape \(hidden_size,\)"),
        (plain({"1": entry([1], [0, 4]), "2": entry([2], [4, 12])}, bytes(12)), "must have one size"),
        (plain({"1": entry([1], [0, 4])}, b"\0\0\xc0\x7f"), "must be finite"),
    ],
)
def test_a_malformed_plain_file_is_refused_in_one_sentence(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "v.safetensors").write_bytes(data)
    with pytest.raises(PackError, match=reason) as caught:
        read_safetensors(tmp_path / "v.safetensors")
    assert "\n" not in str(caught.value)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def control_vector(
    tensors: list[tuple[str, list[int], int, int]] | None = None,
    keys: bytes = b"",
    n_keys: int = 0,
    data: bytes = bytes(64),
    version: int = 3,
    architecture: str = "controlvector",
    n_tensors: int | None = None,
) -> bytes:
    """A GGUF file by hand; a tensor is (name, dims, type, offset)."""
    tensors = [("direction.1", [4], 0, 0)] if tensors is None else tensors
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors, 1 + n_keys)
    head += text("general.architecture") + struct.pack("<I", 8) + text(architecture) + keys
    for name, dims, kind, offset in tensors:
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
    return head + b"\0" * (-len(head) % 32) + data


ENDLESS = text("a") + struct.pack("<IIQ", 9, 0, 2**62)


def test_the_file_made_by_hand_is_sound(tmp_path: Path) -> None:
    (tmp_path / "v.gguf").write_bytes(control_vector())
    assert read_gguf(tmp_path / "v.gguf").vectors[1].tolist() == [0.0] * 4
    assert gguf.GGUFReader(tmp_path / "v.gguf").tensors[0].name == "direction.1"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut short"),
        (b"GGUF", "cut short"),
        (b"PK\x03\x04", "no GGUF file"),
        (control_vector(version=1), "its version is 1"),
        (control_vector(version=3 << 24), "its version is"),
        (control_vector(architecture="llama"), "its architecture is llama"),
        (control_vector(tensors=[]), "0 tensors"),
        (control_vector(n_tensors=2**63), "tensors, at most"),
        (control_vector(n_keys=2**40), "keys and"),
        (control_vector(n_keys=1), "holds only direction.1"),
        (control_vector(keys=ENDLESS, n_keys=1), "cut short"),
        (control_vector(keys=ENDLESS.replace(b"\x09\0\0\0\0", b"\x09\0\0\0\x08"), n_keys=1), "cut short"),
        (control_vector(keys=text("a") + struct.pack("<IIQ", 9, 9, 1), n_keys=1), "array of type 9"),
        (control_vector(keys=text("a") + struct.pack("<I", 77), n_keys=1), "value of type 77"),
        (control_vector(keys=struct.pack("<Q", 2**63), n_keys=1), "cut short"),
        (control_vector(keys=struct.pack("<Q", 1) + b"\xff\0\0\0\0", n_keys=1), "not UTF-8"),
        (control_vector(keys=2 * (text("a") + struct.pack("<IB", 0, 1)), n_keys=2), "'a' twice"),
        (control_vector(keys=text("general.alignment") + struct.pack("<II", 4, 0), n_keys=1), "power of two"),
        (control_vector(keys=text("general.alignment") + struct.pack("<II", 4, 24), n_keys=1), "power of two"),
        (control_vector([("direction.0", [4], 0, 0)]), "holds only direction.1"),
        (control_vector([("direction.-1", [4], 0, 0)]), "holds only direction.1"),
        (control_vector([("token_embd.weight", [4], 0, 0)]), "holds only direction.1"),
        (control_vector([("direction.1", [4, 2], 0, 0)]), "must have shape"),
        (control_vector([("direction.1", [], 0, 0)]), "must have shape"),
        (control_vector([("direction.1", [1] * 5, 0, 0)]), "must have shape"),
        (control_vector([("direction.1", [2**62, 2**62], 0, 0)]), "must have shape"),
        (control_vector([("direction.1", [4], 1, 0)]), "must be F32, got: GGML type 1"),
        (control_vector([("direction.1", [4], 0, 64)]), "beyond the end"),
        (control_vector([("direction.1", [4], 0, 2**64 - 32)]), "beyond the end"),
        (control_vector([("direction.1", [4], 0, 8)]), "beyond the end"),
        (control_vector([("direction.1", [4], 0, 0), ("direction.2", [4], 0, 0)]), "over another tensor"),
        (control_vector([("direction.1", [4], 0, 0), ("direction.1", [4], 0, 32)]), "one layer twice"),
        (control_vector([("direction.1", [4], 0, 0), ("direction.2", [5], 0, 32)]), "must have one size"),
        (control_vector(data=b"\0\0\x80\x7f" * 16), "must be finite"),
    ],
)
def test_a_malformed_control_vector_is_refused_at_once_and_in_one_sentence(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    (tmp_path / "v.gguf").write_bytes(data)
    begin = time.monotonic()
    with pytest.raises(PackError, match=reason) as caught:
        read_gguf(tmp_path / "v.gguf")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 2.0


@pytest.mark.parametrize("read", [read_direction, read_gguf, read_safetensors])
def test_what_is_no_file_or_too_large_is_refused_before_it_is_read(
    tmp_path: Path, read: Callable[[Path], Direction]
) -> None:
    with pytest.raises(PackError, match="cannot be read"):
        read(tmp_path / "absent")
    with pytest.raises(PackError, match="cannot be a path"):
        read(tmp_path / "a\0b")
    with pytest.raises(PackError, match="not a regular file"):
        read(tmp_path)
    (tmp_path / "large").write_bytes(b"GGUF")
    with (tmp_path / "large").open("r+b") as stream:
        stream.truncate(2**36)
    with pytest.raises(PackError, match="more than the"):
        read(tmp_path / "large")


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ({}, "1 to 256 layers, got: 0"),
        ({-1: np.ones(3, np.float32)}, "whole number from 0"),
        ({True: np.ones(3, np.float32)}, "whole number from 0"),
        ({1: np.ones((1, 3), np.float32)}, r"shape \(hidden_size,\), got: \(1, 3\)"),
        ({1: [1.0, 2.0]}, "got: list"),
        ({1: np.ones(3, np.int64)}, "floating point, got: int64"),
        ({1: np.full(3, 1e39)}, "finite in f32"),
        ({1: np.ones(3, np.float32), 2: np.ones(4, np.float32)}, "one size, got: 3 at layer 1, 4 at layer 2"),
    ],
)
def test_vectors_that_are_no_direction_are_refused(vectors: Any, reason: str) -> None:
    with pytest.raises(PackError, match=reason):
        Direction(vectors)


def test_texts_that_no_file_could_carry_are_refused() -> None:
    vectors = {1: np.ones(3, np.float32)}
    for name, value in (("notes", "x" * 4001), ("model_hint", "\ud800"), ("kind", 5)):
        with pytest.raises(PackError, match=f"{name} must be text"):
            Direction(vectors, **{name: value})  # type: ignore[arg-type]


def test_a_write_that_fails_leaves_the_old_file(three_layers: Direction, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for write in (write_gguf, write_safetensors):
        with pytest.raises(PackError, match="cannot be written"):
            write(three_layers, tmp_path / "file" / "v")
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(PackError, match="cannot be written"):
            write(three_layers, tmp_path / "folder")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_without_the_extra_writing_names_it_and_reading_works(
    three_layers: Direction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(three_layers, tmp_path / "sound.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ras-ext\[interchange\]'"):
        write_gguf(three_layers, tmp_path / "v.gguf")
    assert not (tmp_path / "v.gguf").exists()
    assert same(read_gguf(path), three_layers)


@pytest.mark.parametrize("write", [write_gguf, write_safetensors])
def test_an_imported_vector_becomes_the_unsafe_direction_and_nothing_else_changes(
    pack_folder: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    vector = np.arange(HIDDEN, dtype=np.float32)
    file = write(Direction({1: vector, 5: -vector}, "org/other"), tmp_path / "vector")
    with pytest.raises(PackError, match="vectors for the layers 1, 5; name one"):
        import_direction(pack_folder, file, tmp_path / "out")
    with pytest.raises(PackError, match="no vector for layer 2, it has: 1, 5"):
        import_direction(pack_folder, file, tmp_path / "out", layer=2)
    with pytest.raises(PackError, match="layers 0 to 1"):
        import_direction(pack_folder, file, tmp_path / "out", layer=5)
    assert not (tmp_path / "out").exists()
    made = import_direction(pack_folder, file, tmp_path / "out", layer=1)
    old = read_pack(pack_folder)
    assert made.path == (tmp_path / "out").resolve()
    assert made.tensors == {**old.tensors, "unsafe_direction": raw(vector)}
    assert made.files["evidence/rows.jsonl"] == old.files["evidence/rows.jsonl"]
    came_from = made.config["calibration"]["imported_direction"]
    assert (came_from["file"], came_from["layer"], came_from["model_hint"]) == ("vector", 1, "org/other")
    rest = {key: value for key, value in made.config["calibration"].items() if key != "imported_direction"}
    assert {**made.config, "calibration": rest, "files": None} == {**old.config, "files": None}
    assert direction_of(made, "unsafe").vectors[LAST].tolist() == vector.tolist()


def test_a_vector_that_does_not_belong_to_the_pack_is_refused(
    tmp_path: Path, full_pack: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    wide = write_safetensors(Direction({1: np.ones(HIDDEN + 1, np.float32)}), tmp_path / "wide")
    with pytest.raises(PackError, match=f"vectors of 7 entries.*hidden size {HIDDEN}"):
        import_direction(full_pack, wide, tmp_path / "out")
    for kind in ("refusal", "prototype"):
        state = write_safetensors(direction_of(read_pack(full_pack), kind), tmp_path / kind)
        with pytest.raises(PackError, match=f"a {kind} direction, drawn from states after the final norm"):
            import_direction(full_pack, state, tmp_path / "out")
    config["method"]["token_risk"] = {"layer": 1, "slope": 4.0, "bias": 0.1}
    tensors["center"] = tensors["unsafe_direction"]
    calibrated = write_pack(tmp_path / "calibrated", config, tensors).path
    fitting = write_safetensors(Direction({1: np.ones(HIDDEN, np.float32)}), tmp_path / "fitting")
    with pytest.raises(PackError, match="slope and bias were calibrated for its own"):
        import_direction(calibrated, fitting, tmp_path / "out")
    with pytest.raises(PackError, match="holds files that are no part of a pack"):
        import_direction(full_pack, fitting, tmp_path)
    assert not (tmp_path / "out").exists()
    assert import_direction(full_pack, fitting, tmp_path / "out").tensors["unsafe_direction"].shape == (HIDDEN,)


def test_the_built_in_pack_gives_a_control_vector(tmp_path: Path) -> None:
    from ras_ext.registry import open_pack

    pack = open_pack("builtin:organism")
    path = write_gguf(direction_of(pack), tmp_path / "organism.gguf")
    found = read_gguf(path)
    assert (found.layers, found.hidden_size) == ((3,), pack.config["base_model"]["hidden_size"])
    assert found.vectors[3].any()
