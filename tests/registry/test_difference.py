from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ras_ext.registry import Pack, PackDiff, RawTensor, diff_packs, write_pack

Make = Callable[..., Pack]


def raw(values: np.ndarray, dtype: str = "<f4") -> RawTensor:
    name = {"<f4": "F32", "<f2": "F16"}[dtype]
    return RawTensor(name, values.shape, values.astype(dtype).tobytes())


def array(tensor: RawTensor) -> np.ndarray:
    return np.frombuffer(tensor.data, "<f4").reshape(tensor.shape)


@pytest.fixture
def make(tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]) -> Make:
    """A pack as the fixtures have it, but for what ``edit`` does to its config and its tensors."""
    numbers = iter(range(100))

    def made(edit: Callable[[dict[str, Any], dict[str, RawTensor]], None] | None = None, **files: bytes) -> Pack:
        own, vectors = copy.deepcopy(config), dict(tensors)
        if edit is not None:
            edit(own, vectors)
        extra = {f"evidence/{name}.txt": data for name, data in files.items()}
        return write_pack(tmp_path / str(next(numbers)), own, vectors, extra)

    return made


def fields(diff: PackDiff) -> dict[str, tuple[str, Any, Any]]:
    return {entry.path: (entry.change, entry.old, entry.new) for entry in diff.fields}


def test_a_pack_does_not_differ_from_itself(make: Make) -> None:
    diff = diff_packs(make(), make())
    assert diff.same_digest
    assert diff.same_content
    assert diff.fields == diff.files == ()
    assert all(entry.same for entry in diff.tensors)
    assert diff.lines() == ["the same bytes"]


def test_every_changed_field_is_named_with_old_and_new(make: Make) -> None:
    def edit(config: dict[str, Any], _: dict[str, RawTensor]) -> None:
        config["base_model"].update(id="org/other", image_token_id=None)
        config["method"].update(alpha=9.5)
        config["method"]["schedules"]["paper"]["doses"] = [1, 1.0, 0.5]
        config["method"]["schedules"]["my.own"] = {"n_tokens": 1, "doses": [1.0]}
        config["prompts"]["safety"] = "Refuse."
        config["calibration"] = {"n_unsafe": True, "n_safe": 50.0, "similarity_unsafe": [0.9, 0.8], "nested": {"a": {}}}
        config["evidence"] = {}

    diff = diff_packs(make(), make(edit))
    assert not diff.same_digest
    assert not diff.same_content
    assert fields(diff) == {
        "base_model.id": ("changed", "org/tiny-llava", "org/other"),
        "base_model.image_token_id": ("changed", 3, None),
        "method.alpha": ("changed", 15.955, 9.5),
        "method.schedules.paper.doses": ("changed", [1.0, 1.0, 1.0], [1, 1.0, 0.5]),
        "method.schedules.my.own.n_tokens": ("added", None, 1),
        "method.schedules.my.own.doses": ("added", None, [1.0]),
        "prompts.safety": ("changed", "Refuse what is unsafe.", "Refuse."),
        "calibration.n_unsafe": ("changed", 50, True),
        "calibration.dtype": ("removed", "float32", None),
        "calibration.nested.a": ("added", None, {}),
        "evidence.asr.none": ("removed", 1.0, None),
        "evidence.asr.ras": ("removed", 0.02, None),
        "evidence": ("added", None, {}),
    }
    back = diff_packs(make(edit), make())
    assert fields(back)["method.alpha"] == ("changed", 9.5, 15.955)
    assert fields(back)["calibration.dtype"] == ("added", None, "float32")


def test_one_and_true_are_not_the_same_but_one_and_one_point_zero_are(make: Make) -> None:
    one, true, float_one = (
        make(lambda config, _, value=value: config["calibration"].update(x=[value])) for value in (1, True, 1.0)
    )
    assert fields(diff_packs(one, true)) == {"calibration.x": ("changed", [1], [True])}
    assert fields(diff_packs(one, float_one)) == {}


def test_a_key_with_a_dot_is_not_taken_for_a_nested_one(make: Make) -> None:
    flat = make(lambda config, _: config["evidence"].update({"a.b": 1}))
    nested = make(lambda config, _: config["evidence"].update({"a": {"b": 1}}))
    changes = [(entry.path, entry.change) for entry in diff_packs(flat, nested).fields]
    assert changes == [("evidence.a.b", "removed"), ("evidence.a.b", "added")]


def test_the_same_content_under_another_name_is_told_apart_from_the_same_bytes(make: Make) -> None:
    diff = diff_packs(make(), make(lambda config, _: config.update(name="renamed")))
    assert (diff.same_digest, diff.same_content) == (False, True)
    assert fields(diff) == {"name": ("changed", "tiny", "renamed")}
    assert diff.lines()[:2] == [
        "the same content (base model, method, prompts, tensors)",
        "name: tiny → renamed",
    ]


def test_cosines_are_those_of_the_rows(make: Make) -> None:
    def turn(_: dict[str, Any], tensors: dict[str, RawTensor]) -> None:
        rows = array(tensors["prototypes"]).copy()
        rows[0] *= 3.0
        rows[1] *= -1.0
        rows[2] = [rows[2][1], -rows[2][0], 0, 0, 0, 0]
        rows[3] = 0.0
        tensors["prototypes"] = raw(rows)

    a, b = make(), make(turn)
    by_name = {entry.name: entry for entry in diff_packs(a, b).tensors}
    cosines = by_name["prototypes"].cosines
    assert cosines is not None
    assert cosines[:2] == (pytest.approx(1.0), pytest.approx(-1.0))
    assert cosines[2] == pytest.approx(0.0, abs=1e-7)
    assert cosines[3] is None
    assert cosines[4] == pytest.approx(1.0)
    assert not by_name["prototypes"].same
    assert by_name["prototype_mixture"].same
    one, other = array(a.tensors["prototypes"]), array(b.tensors["prototypes"])
    whole = float(one.ravel() @ other.ravel() / np.linalg.norm(one) / np.linalg.norm(other))
    assert whole < 0.99  # of all rows at once it would be another number


def test_shapes_dtypes_and_tensors_that_only_one_has_are_named(make: Make) -> None:
    def reshape(config: dict[str, Any], tensors: dict[str, RawTensor]) -> None:
        config["base_model"]["vocab_size"] = 12
        tensors["prototype_mixture"] = raw(np.ones(12))
        tensors["prototypes"] = raw(np.vstack([array(tensors["prototypes"]), np.ones((2, 6))]), "<f2")
        tensors["center"] = raw(np.ones(6))

    diff = diff_packs(make(), make(reshape))
    by_name = {entry.name: entry for entry in diff.tensors}
    assert by_name["center"].shapes == (None, (6,))
    assert by_name["center"].cosines is None
    assert by_name["prototype_mixture"].shapes == ((11,), (12,))
    assert by_name["prototype_mixture"].cosines is None
    assert by_name["prototypes"].dtypes == ("F32", "F16")
    assert by_name["prototypes"].cosines == pytest.approx((1.0,) * 5, abs=1e-6)
    lines = diff.lines()
    assert "center: (none) → F32 (6)" in lines
    assert "prototypes: F32 (5, 6) → F16 (7, 6), cosine 1.0000, 1.0000, 1.0000, 1.0000, 1.0000" in lines
    assert "base_model.vocab_size: 11 → 12" in lines


def test_changed_files_are_listed(make: Make) -> None:
    diff = diff_packs(make(kept=b"1", gone=b"2", other=b"3"), make(kept=b"1", new=b"2", other=b"4"))
    assert [(entry.path, entry.change) for entry in diff.files] == [
        ("evidence/gone.txt", "removed"),
        ("evidence/other.txt", "changed"),
        ("evidence/new.txt", "added"),
    ]
    assert diff.lines()[-1] == "evidence/new.txt: added"
    assert not diff.same_digest
    assert diff.same_content


def test_a_difference_is_json_and_its_lines_are_lines(make: Make) -> None:
    def edit(config: dict[str, Any], tensors: dict[str, RawTensor]) -> None:
        config["prompts"]["safety"] = "One.\nTwo.\n" * 50
        config["evidence"]["rows"] = list(range(40))
        tensors["prototypes"] = raw(np.zeros((5, 6)))

    diff = diff_packs(make(), make(edit))
    assert json.loads(json.dumps(diff.to_dict(), allow_nan=False)) == diff.to_dict()
    assert diff.to_dict()["fields"][0] == {
        "path": "prompts.safety",
        "change": "changed",
        "old": "Refuse what is unsafe.",
        "new": "One.\nTwo.\n" * 50,
    }
    assert "evidence.rows: (none) → 40 entries" in diff.lines()
    assert all("\n" not in line and len(line) < 200 for line in diff.lines())
    undefined = ", ".join(["undefined"] * 5)
    assert f"prototypes: F32 (5, 6), cosine {undefined}" in diff.lines()
