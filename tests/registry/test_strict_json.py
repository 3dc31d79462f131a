from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ras_ext.registry import PackError
from ras_ext.registry.strict_json import canonical, fault, parse, pretty

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a": 1', "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b"[1, 2]", "must hold a JSON object, got: list"),
        (b'{"a":' + b"[" * 200_000, "nested too deeply"),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "nested too deeply"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested too deeply"),
        (b'{"a":' + b"9" * 1_000_000 + b"}", "beyond 64 bits"),
    ],
)
def test_what_is_not_exact_json_is_refused_in_one_sentence(raw: bytes, reason: str) -> None:
    with pytest.raises(PackError, match=reason) as caught:
        parse(raw, "ras_config.json")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("ras_config.json ")


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_both_written_forms_read_back_equal(value: dict) -> None:
    for key in list(value):
        if fault({key: value[key]}, "value"):
            del value[key]
    assert parse(pretty(value), "value") == json.loads(json.dumps(value))
    assert parse(canonical(value), "value") == parse(pretty(value), "value")


def test_canonical_form_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert canonical({"a": 1, "b": [1, 2]}) == canonical({"b": [1, 2], "a": 1})
    assert canonical({"a": 1, "b": [1, 2]}) != canonical({"a": 1, "b": [2, 1]})


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**70, "\ud800", {1: 2}, {"a": object()}, {"\udfff": 1}, [[float("-inf")]]],
)
def test_values_that_json_cannot_carry_are_found(value: object) -> None:
    assert fault(value, "evidence")
    assert fault({"a": [value]}, "evidence").startswith("evidence.a[0]")  # type: ignore[union-attr]


def test_nesting_is_bounded() -> None:
    value: list = []
    for _ in range(100):
        value = [value]
    assert "deeper than" in str(fault(value, "evidence"))
    assert fault([[[]]], "evidence") is None


def test_an_error_quotes_any_key_on_one_short_line() -> None:
    sentence = fault({"a\nb" + "c" * 500: float("nan")}, "evidence")
    assert sentence is not None
    assert "\n" not in sentence
    assert len(sentence) < 200
    assert r"a\nb" in sentence
