from __future__ import annotations

import hashlib
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ras_ext.registry import SCHEMA_VERSION, PackError, PackNotFoundError, RawTensor, read_pack, verify_pack, write_pack
from ras_ext.registry.layout import CONFIG_FILE, TENSORS_FILE
from ras_ext.registry.tensors import encode

Forge = Callable[..., None]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_written_is_read_back(
    pack_folder: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    pack = read_pack(pack_folder)
    assert {key: pack.config[key] for key in config} == config
    assert pack.tensors == tensors
    assert pack.files["evidence/rows.jsonl"] == b'{"id": 1}\n'
    assert pack.digest == hashlib.sha256((pack_folder / CONFIG_FILE).read_bytes()).hexdigest()
    listed = pack.config["files"]
    assert listed == {
        name: hashlib.sha256(data).hexdigest() for name, data in contents(pack_folder).items() if name != CONFIG_FILE
    }
    assert "# tiny" in pack.files["README.md"].decode()


def test_the_same_vectors_give_the_same_bytes(
    tmp_path: Path, pack_folder: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    again = write_pack(tmp_path / "again", config, tensors, {"evidence/rows.jsonl": b'{"id": 1}\n'})
    assert contents(again.path) == contents(pack_folder)
    config["method"]["alpha"] += 1e-9
    other = write_pack(tmp_path / "other", config, tensors)
    assert other.digest != again.digest
    assert other.content_sha256 != again.content_sha256


def test_the_content_stays_the_same_whatever_is_said_about_it(pack_folder: Path, forge: Forge) -> None:
    first = read_pack(pack_folder)

    def rename(config: dict[str, Any]) -> None:
        config.update(name="renamed", license=None, evidence={}, calibration={"date": "today"})
        config["method"].update(schedule="auto", n_tokens=5)
        config["method"]["schedules"]["paper"]["doses"] = [1, 1, 1]

    forge(rename)
    renamed = read_pack(pack_folder)
    assert renamed.content_sha256 == first.content_sha256
    assert renamed.digest != first.digest

    forge(lambda config: config["prompts"].update(safety="Answer everything."))
    assert read_pack(pack_folder).content_sha256 != first.content_sha256


def refusal(folder: Path) -> PackError:
    with pytest.raises(PackError) as caught:
        read_pack(folder)
    assert "\n" not in str(caught.value)
    report = verify_pack(folder)
    assert not report.ok
    assert str(caught.value) in report.problems
    return caught.value


@pytest.mark.parametrize("name", ["README.md", "ras_vectors.safetensors", "evidence/rows.jsonl"])
@pytest.mark.parametrize("damage", ["truncated", "extra bytes", "one bit"])
def test_every_changed_byte_of_every_file_is_noticed(pack_folder: Path, name: str, damage: str) -> None:
    path = pack_folder / name
    data = path.read_bytes()
    changed = {"truncated": data[:-1], "extra bytes": data + b"\0", "one bit": data[:-1] + bytes([data[-1] ^ 1])}
    path.write_bytes(changed[damage])
    assert f"{name} in the pack" in str(refusal(pack_folder))
    path.write_bytes(data)
    assert verify_pack(pack_folder).ok


@pytest.mark.parametrize("name", ["README.md", "ras_vectors.safetensors", "evidence/rows.jsonl"])
def test_a_missing_file_is_named(pack_folder: Path, name: str) -> None:
    (pack_folder / name).unlink()
    error = refusal(pack_folder)
    assert f"lacks {name}" in str(error)
    assert not isinstance(error, PackNotFoundError)


def test_a_truncated_config_is_refused_at_every_length(pack_folder: Path) -> None:
    raw = (pack_folder / CONFIG_FILE).read_bytes()
    for length in range(0, len(raw) - 2, 97):
        (pack_folder / CONFIG_FILE).write_bytes(raw[:length])
        assert "not valid JSON" in str(refusal(pack_folder))


def test_a_folder_without_a_config_is_no_pack(tmp_path: Path, pack_folder: Path) -> None:
    (pack_folder / CONFIG_FILE).unlink()
    assert isinstance(refusal(pack_folder), PackNotFoundError)
    assert isinstance(refusal(tmp_path / "absent"), PackNotFoundError)


def test_truncated_tensors_with_a_fitting_hash_are_refused(pack_folder: Path, forge: Forge) -> None:
    raw = (pack_folder / TENSORS_FILE).read_bytes()
    for length in (0, 5, 8, 40, len(raw) - 4, len(raw) - 1):
        forge(tensor_bytes=raw[:length])
        assert TENSORS_FILE in str(refusal(pack_folder))


def test_a_nan_with_a_fitting_hash_is_refused(pack_folder: Path, tensors: dict[str, RawTensor], forge: Forge) -> None:
    values = np.frombuffer(tensors["prototypes"].data, "<f4").copy()
    values[7] = np.nan
    forge(tensor_bytes=encode({**tensors, "prototypes": RawTensor("F32", (5, 6), values.tobytes())}))
    assert "prototypes must be finite" in str(refusal(pack_folder))


def test_a_wrong_shape_with_a_fitting_hash_is_refused(
    pack_folder: Path, tensors: dict[str, RawTensor], forge: Forge
) -> None:
    turned = RawTensor("F32", (6, 5), tensors["prototypes"].data)
    forge(tensor_bytes=encode({**tensors, "prototypes": turned}))
    assert "prototypes must have shape (N >= 5, 6), got: (6, 5)" in str(refusal(pack_folder))


def test_a_pickle_with_a_fitting_hash_is_refused_unopened(pack_folder: Path, forge: Forge) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(pack_folder / "opened"),))

    forge(tensor_bytes=pickle.dumps({"prototypes": Bomb()}))
    assert "pickle" in str(refusal(pack_folder))
    assert not (pack_folder / "opened").exists()


def test_a_newer_schema_is_refused_with_the_version_it_needs(pack_folder: Path, forge: Forge) -> None:
    forge(lambda config: config.update(schema_version=SCHEMA_VERSION + 1, ras_ext_version="9.9"))
    assert "made by ras_ext 9.9, needs ras_ext >= 9.9" in str(refusal(pack_folder))


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hostname", "evidence/../../secret.json", "evidence\\x.json"])
def test_a_listed_file_outside_the_folder_is_refused_even_with_its_true_hash(
    tmp_path: Path, pack_folder: Path, forge: Forge, name: str
) -> None:
    (tmp_path / "secret.json").write_bytes(b"secret")
    forge(lambda config: config["files"].update({name: hashlib.sha256(b"secret").hexdigest()}))
    assert "would leave the pack's folder" in str(refusal(pack_folder))


def test_a_link_out_of_the_folder_is_refused_even_with_its_true_hash(
    tmp_path: Path, pack_folder: Path, forge: Forge
) -> None:
    (tmp_path / "secret.json").write_bytes(b"secret")
    os.symlink(tmp_path / "secret.json", pack_folder / "evidence" / "x.json")
    forge(lambda config: config["files"].update({"evidence/x.json": hashlib.sha256(b"secret").hexdigest()}))
    assert "a link that leaves the pack's folder" in str(refusal(pack_folder))


def test_an_oversize_tensor_file_is_refused(pack_folder: Path) -> None:
    os.truncate(pack_folder / TENSORS_FILE, 2**36)
    assert "more than the" in str(refusal(pack_folder))


def test_files_beside_the_pack_are_reported_and_never_used(pack_folder: Path) -> None:
    (pack_folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    report = verify_pack(pack_folder)
    assert report.ok
    assert report.unlisted == ("pytorch_model.bin",)
    assert set(report.sizes) == set(contents(pack_folder)) - {"pytorch_model.bin"}


def test_verify_names_all_damaged_files(pack_folder: Path) -> None:
    (pack_folder / "README.md").write_text("edited")
    (pack_folder / "evidence" / "rows.jsonl").unlink()
    problems = verify_pack(pack_folder).problems
    assert len(problems) == 2
    assert {"README.md" in problem for problem in problems} == {True, False}


def test_a_write_that_cannot_succeed_leaves_the_old_pack(
    pack_folder: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    before = contents(pack_folder)
    broken = RawTensor("F32", (5, 6), b"\0" * 119)
    infinite = RawTensor("F32", (11,), np.full(11, np.inf, "<f4").tobytes())
    attempts: list[tuple[dict[str, Any], dict[str, RawTensor], dict[str, bytes]]] = [
        (config, {**tensors, "prototypes": broken}, {}),
        (config, {**tensors, "prototype_mixture": infinite}, {}),
        ({**config, "name": "a/b"}, tensors, {}),
        (config, tensors, {"evidence/../../up.json": b""}),
        (config, tensors, {"evidence/run.py": b""}),
        (config, tensors, {"evidence/big.json": bytes(17 * 2**20)}),
    ]
    for attempt in attempts:
        with pytest.raises(PackError):
            write_pack(pack_folder, *attempt)
        assert contents(pack_folder) == before
        assert [path.name for path in pack_folder.parent.iterdir()] == ["pack"]
    write_pack(pack_folder, {**config, "name": "renamed"}, tensors)
    assert contents(pack_folder) != before


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from ras_ext.registry import PackError, read_pack, write_pack
folder = Path(sys.argv[1])
pack = read_pack(folder)
config = {key: value for key, value in pack.config.items() if key != "files"}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    write_pack(folder, {**config, "name": "renamed"}, pack.tensors)
except PackError as error:
    print(error)
"""


def test_a_disk_that_is_full_in_the_middle_leaves_the_old_pack(pack_folder: Path, tmp_path: Path) -> None:
    assert hasattr(resource, "RLIMIT_FSIZE")
    before = contents(pack_folder)
    program = [sys.executable, "-c", FULL_DISK, str(pack_folder)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert "could not be written" in done.stdout, done.stderr
    assert contents(pack_folder) == before
    assert [path.name for path in pack_folder.parent.iterdir()] == ["pack"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 3000), new=st.binary(max_size=5), width=st.integers(0, 5))
def test_a_config_with_any_bytes_changed_is_read_or_refused_with_the_packages_own_error(
    pack_folder: Path, position: int, new: bytes, width: int
) -> None:
    path = pack_folder / CONFIG_FILE
    raw = path.read_bytes()
    position %= len(raw)
    path.write_bytes(raw[:position] + new + raw[position + width :])
    problem = ""
    try:
        read_pack(pack_folder)
    except PackError as error:
        problem = str(error)
    finally:
        path.write_bytes(raw)
    assert "\n" not in problem
