from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ras_ext.registry import PackError, RawTensor
from ras_ext.registry.tensors import HEADER_LIMIT, check_tensors, decode, encode


def with_header(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str = "F32", shape: tuple[int, ...] = (2,), offsets: tuple[int, int] = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_written_tensors_are_read_back_to_the_bit(tensors: dict[str, RawTensor]) -> None:
    half = RawTensor("BF16", (3,), b"\x80\x3f\x00\xc0\x01\x00")  # 1, -2 and the smallest subnormal
    everything = {**tensors, "center": half, "unsafe_direction": RawTensor("F16", (1,), b"\x00\x3c")}
    assert decode(encode(everything)) == everything


def test_the_library_reads_what_is_written_with_its_metadata(tensors: dict[str, RawTensor]) -> None:
    raw = encode(tensors)
    loaded = safetensors.numpy.load(raw)
    assert loaded["prototypes"].tobytes() == tensors["prototypes"].data
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["__metadata__"] == {"format": "pt", "schema_version": "1"}


def test_equal_tensors_give_equal_bytes_in_any_order(tensors: dict[str, RawTensor]) -> None:
    assert encode(tensors) == encode(dict(reversed(tensors.items())))
    other = replace(tensors["prototype_mixture"], data=bytes(44))
    assert encode(tensors) != encode({**tensors, "prototype_mixture": other})


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "truncated or no safetensors"),
        (b"\x10\0\0\0", "truncated or no safetensors"),
        (with_header({"center": entry()}, b"\0" * 7), "damaged"),
        (with_header({"center": entry()}, b"\0" * 9), "damaged"),
        ((HEADER_LIMIT + 1).to_bytes(8, "little") + b" " * (HEADER_LIMIT + 1), "truncated or no safetensors"),
        ((2**63).to_bytes(8, "little") + b"{}", "truncated or no safetensors"),
        (with_header(b"{'center'"), "not valid JSON"),
        (with_header(b"[]"), "must hold a JSON object"),
        (with_header(b'{"center": 1, "center": 2}'), "twice"),
        (with_header({"center": entry("I64", (1,))}, b"\0" * 8), "F32, BF16 or F16, got: 'I64'"),
        (with_header({"center": 5}), "F32, BF16 or F16"),
        (with_header({"center": entry(), "../x": entry()}, b"\0" * 8), "not known to this schema"),
        (with_header({"center": entry(), "unsafe_direction": entry()}, b"\0" * 8), "damaged"),
        (with_header({"center": entry(shape=(2**40, 2**40))}, b"\0" * 8), "damaged"),
        (with_header({"center": entry(shape=(3,))}, b"\0" * 8), "damaged"),
        (with_header({"center": entry(offsets=(8, 0))}, b"\0" * 8), "damaged"),
        (with_header({"center": {"dtype": "F32"}}, b"\0" * 8), "damaged"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(raw: bytes, reason: str) -> None:
    with pytest.raises(PackError, match=reason) as caught:
        decode(raw)
    assert "\n" not in str(caught.value)


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('a pickle was opened')",))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_under_the_name_of_tensors_is_never_opened(protocol: int) -> None:
    with pytest.raises(PackError, match="pickle" if protocol >= 2 else "truncated or no safetensors"):
        decode(pickle.dumps(Bomb(), protocol=protocol))


def test_a_torch_archive_under_the_name_of_tensors_is_never_opened() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    with pytest.raises(PackError, match="pickle or zip"):
        decode(stream.getvalue())


def test_a_header_of_the_length_a_pickle_begins_with_is_still_read() -> None:
    text = json.dumps({"center": entry()}).encode()
    text += b" " * (0x0280 - len(text))
    raw = with_header(text, b"\0" * 8)
    assert raw[:2] == b"\x80\x02"
    assert decode(raw)["center"].shape == (2,)


def test_tensors_that_fit_the_config_pass(tensors: dict[str, RawTensor], config: dict[str, Any]) -> None:
    check_tensors(tensors, config)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("prototypes", (4, 6)),  # the longest schedule has five tokens
        ("prototypes", (5, 7)),
        ("prototypes", (30,)),
        ("prototype_mixture", (12,)),
        ("prototype_mixture", (1, 11)),
        ("safe_prototypes", (1, 6)),
        ("unsafe_direction", (5,)),
        ("center", ()),
        ("surplus", (6,)),
    ],
)
def test_a_wrong_shape_is_refused_with_both_shapes(
    tensors: dict[str, RawTensor], config: dict[str, Any], name: str, shape: tuple[int, ...]
) -> None:
    data = np.ones(shape, "<f4").tobytes()
    with pytest.raises(PackError, match=name):
        check_tensors({**tensors, name: RawTensor("F32", shape, data)}, config)


@pytest.mark.parametrize("name", ["prototypes", "prototype_mixture"])
def test_a_missing_tensor_is_refused(tensors: dict[str, RawTensor], config: dict[str, Any], name: str) -> None:
    del tensors[name]
    with pytest.raises(PackError, match=f"{name} is missing"):
        check_tensors(tensors, config)


def test_token_risk_needs_its_direction_and_center(tensors: dict[str, RawTensor], config: dict[str, Any]) -> None:
    config["method"]["token_risk"] = {"layer": 1, "slope": 4.0, "bias": 0.1}
    with pytest.raises(PackError, match="unsafe_direction is missing"):
        check_tensors(tensors, config)
    vector = RawTensor("F32", (6,), np.ones(6, "<f4").tobytes())
    check_tensors({**tensors, "unsafe_direction": vector, "center": vector}, config)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_entry_that_is_not_finite_is_refused_in_every_dtype(
    tensors: dict[str, RawTensor], config: dict[str, Any], dtype: str, value: float
) -> None:
    wide = np.ones(6, "<f4")
    finite, broken = wide.copy(), wide.copy()
    broken[4] = value
    for values, fine in ((finite, True), (broken, False)):
        if dtype == "BF16":
            data = (values.view("<u4") >> 16).astype("<u2").tobytes()
        else:
            data = values.astype("<f4" if dtype == "F32" else "<f2").tobytes()
        changed = {**tensors, "center": RawTensor(dtype, (6,), data)}
        if fine:
            check_tensors(changed, config)
        else:
            with pytest.raises(PackError, match=r"center must be finite.*entry 4"):
                check_tensors(changed, config)


@pytest.mark.parametrize("values", [np.zeros(11), np.r_[-0.1, np.ones(10)]])
def test_a_mixture_that_is_none_is_refused(
    tensors: dict[str, RawTensor], config: dict[str, Any], values: np.ndarray
) -> None:
    mixture = RawTensor("F32", (11,), values.astype("<f4").tobytes())
    with pytest.raises(PackError, match="mixture of probabilities"):
        check_tensors({**tensors, "prototype_mixture": mixture}, config)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 400), value=st.binary(min_size=0, max_size=6), cut=st.integers(0, 600))
def test_mutated_bytes_are_read_or_refused_with_the_packages_own_error(
    tensors: dict[str, RawTensor], config: dict[str, Any], position: int, value: bytes, cut: int
) -> None:
    raw = encode(tensors)
    mutated = (raw[:position] + value + raw[position + len(value) :])[: cut or None]
    problem = ""
    try:
        check_tensors(decode(mutated), config)
    except PackError as error:
        problem = str(error)
    assert "\n" not in problem
