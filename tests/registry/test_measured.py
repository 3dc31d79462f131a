from __future__ import annotations

import copy
from typing import Any

import pytest

from ras_ext.registry import PackError
from ras_ext.registry.measured import measured
from ras_ext.registry.strict_json import canonical

REPORT: dict[str, Any] = {
    "model": "/home/someone/models/mine",
    "vectors": {"id": "tiny@0a1b2c3d", "s_base": 0.5},
    "rows": [
        {
            "defense": "ras",
            "asr": 1 / 3,
            "asr_content": None,
            "over_refusal": 0.0,
            "utility": 1,
            "tokens_per_s": 123.456,
            "relative_throughput": None,
            "n_unsafe": 9,
            "n_safe": 9,
            "n_content": 0,
            "n_utility": 9,
            "tokens": 99,
            "seconds": 3.2,
            "intervals": {"asr": (0.1, 0.6), "asr_content": None, "over_refusal": (0.0, 0.3), "utility": (0.7, 1.0)},
        }
    ],
    "items": "/home/someone/answers.jsonl",
    "data_sha256": "e" * 64,
    "batch_size": 32,
    "max_new_tokens": 64,
    "environment": {"torch": "2.13.0", "dtype": "float32", "processor": "someone's"},
    "seconds": 12.0,
}


def test_a_report_becomes_a_compact_table_without_the_machine() -> None:
    found = measured(REPORT, "requests.jsonl")
    assert found["rows"] == [
        {
            "defense": "ras",
            "n_unsafe": 9,
            "n_safe": 9,
            "n_content": 0,
            "n_utility": 9,
            "asr": 0.333333,
            "asr_content": None,
            "over_refusal": 0.0,
            "utility": 1.0,
            "intervals": {"asr": [0.1, 0.6], "asr_content": None, "over_refusal": [0.0, 0.3], "utility": [0.7, 1.0]},
            "tokens_per_s": 123.5,
            "relative_throughput": None,
        }
    ]
    assert found["data"] == "requests.jsonl"
    assert found["environment"]["torch"] == "2.13.0"
    assert b"someone" not in canonical(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda report: [], "must be an object with rows"),
        (lambda report: {**report, "rows": "none"}, "must be an object with rows"),
        (lambda report: {**report, "rows": []}, "must have 1 to 64 rows, got: 0"),
        (lambda report: {**report, "vectors": None}, "measured no steering vectors"),
        (lambda report: {**report, "vectors": {"id": 3}}, "measured no steering vectors"),
        (lambda report: {**report, "rows": [{"asr": 0.1}]}, "must name its defense"),
        (
            lambda report: {**report, "rows": [{**report["rows"][0], "asr": 1.1}]},
            "asr of 'ras' must be null or a share",
        ),
        (lambda report: {**report, "rows": [{**report["rows"][0], "asr": True}]}, "asr of 'ras'"),
        (lambda report: {**report, "rows": [{**report["rows"][0], "n_safe": -1}]}, "n_safe of 'ras' must be a whole"),
        (lambda report: {**report, "rows": [{**report["rows"][0], "tokens_per_s": -1.0}]}, "tokens_per_s of 'ras'"),
        (
            lambda report: {**report, "rows": [{**report["rows"][0], "intervals": {"asr": [0.1]}}]},
            "intervals.asr of 'ras' must be null or [low, high]",
        ),
    ],
)
def test_what_is_no_report_of_vectors_is_refused_in_one_sentence(change: Any, said: str) -> None:
    with pytest.raises(PackError) as caught:
        measured(change(copy.deepcopy(REPORT)))
    assert said in str(caught.value)
    assert ";" in str(caught.value)
    assert "\n" not in str(caught.value)
