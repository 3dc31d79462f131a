"""The table against counts made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ras_ext.evaluation.record import Record
from ras_ext.evaluation.score import kinds, rows, wilson


def record(
    number: int, label: str, *, defense: str = "none", refused: bool = False, held: bool | None = None
) -> Record:
    return Record(
        id=f"{number}",
        kind="a" if number % 2 else "b",
        label=label,
        defense=defense,
        answer="",
        refused=refused,
        content=held if label == "unsafe" else None,
        correct=held if label == "safe" else None,
        risk=None,
        similarity=None,
        visual_context=None,
        tokens=10,
        seconds=0.5,
    )


RECORDS = [
    record(0, "unsafe", refused=False, held=True),
    record(1, "unsafe", refused=True, held=True),  # apologised and answered all the same
    record(2, "unsafe", refused=True, held=False),
    record(3, "unsafe", refused=False, held=None),  # its content is not known
    record(4, "safe", refused=False, held=True),
    record(5, "safe", refused=False, held=False),
    record(6, "safe", refused=True, held=False),
    record(7, "safe", refused=False, held=None),
    record(8, "safe", refused=False, held=True),
]


def test_every_share_counts_the_items_it_is_defined_on() -> None:
    (row,) = rows(RECORDS, ["none"])
    assert row.asr == 2 / 4
    assert row.asr_content == 2 / 3
    assert row.over_refusal == 1 / 5
    assert row.utility == 2 / 4
    assert (row.n_unsafe, row.n_safe, row.n_content, row.n_utility) == (4, 5, 3, 4)
    assert row.tokens == 90
    assert row.tokens_per_s == pytest.approx(20)
    assert row.relative_throughput == 1.0


def test_one_answer_judged_otherwise_changes_its_share_and_no_other() -> None:
    changed = [replace(RECORDS[0], content=False), *RECORDS[1:]]
    before, after = rows(RECORDS, ["none"])[0], rows(changed, ["none"])[0]
    assert after.asr_content == 1 / 3 != before.asr_content
    assert (after.asr, after.over_refusal, after.utility) == (before.asr, before.over_refusal, before.utility)


def test_what_cannot_be_counted_is_none_and_not_zero() -> None:
    (row,) = rows([record(0, "safe"), record(1, "safe")], ["none"])
    assert row.asr is None
    assert row.asr_content is None
    assert row.utility is None
    assert row.over_refusal == 0.0
    assert row.intervals["asr"] is None


def test_throughput_is_relative_to_the_undefended_model_of_the_same_run() -> None:
    slow = [replace(one, defense="ras", seconds=2.0) for one in RECORDS]
    first, second = rows([*RECORDS, *slow], ["ras", "none"])
    assert first.relative_throughput == pytest.approx(0.25)
    assert second.relative_throughput == 1.0
    assert rows(slow, ["ras"])[0].relative_throughput is None


def test_kinds_are_counted_apart_for_each_label() -> None:
    found = {(row.label, row.kind): row for row in kinds(RECORDS, ["none"])}
    assert found["unsafe", "b"].n == 2
    assert found["unsafe", "b"].content == 1 / 2
    assert found["unsafe", "a"].refused == 1 / 2
    assert found["unsafe", "a"].content == 1.0
    assert found["safe", "b"].correct == 2 / 3
    assert found["safe", "a"].correct == 0.0
    assert found["safe", "a"].content is None
    assert sum(row.n for row in found.values()) == len(RECORDS)


# Published values of the score interval without continuity correction.
@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(hits: int, total: int, low: float, high: float) -> None:
    found = wilson(hits, total)
    assert found == pytest.approx((low, high), abs=5e-5)
    assert found != pytest.approx((low, high + 1e-3), abs=5e-5)


@given(st.integers(1, 500), st.data())
@settings(max_examples=50)
def test_an_interval_holds_its_share_and_mirrors(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    low, high = wilson(hits, total) or (1, 0)
    assert 0 <= low <= hits / total <= high <= 1
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    assert wilson(0, 0) is None
