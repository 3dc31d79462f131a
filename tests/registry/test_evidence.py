from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ras_ext.registry import PackError, ScoredQuery, Stretch, read_similarities, threshold_curve
from ras_ext.registry.evidence import MAX_ROWS, encode_similarities, shares_at
from ras_ext.registry.layout import EVIDENCE_LIMIT

HEAD = b"id,label,kind,similarity,risk\n"
SAFE = b"a,safe,,0.1,0.01\n"
UNSAFE = b"b,unsafe,picture,0.9,0.99\n"


def row(label: str, similarity: float, name: str = "q", kind: str = "") -> ScoredQuery:
    return ScoredQuery.of(name, label, kind, similarity, alpha=9.0, s_base=0.5)


def test_the_table_is_written_with_six_digits_in_the_order_given() -> None:
    rows = [row("unsafe", 0.123456789, "z, 1", "both"), row("safe", 1e-7, "a"), row("safe", 1.0000001, 'say "no"')]
    assert encode_similarities(rows).decode() == (
        "id,label,kind,similarity,risk\n"
        '"z, 1",unsafe,both,0.123457,0.0326446\n'
        "a,safe,,1e-07,0.010987\n"
        '"say ""no""",safe,,1,0.989013\n'
    )
    assert read_similarities(encode_similarities(rows)) == tuple(rows)


def test_the_risk_is_that_of_the_similarity_as_written() -> None:
    one = row("safe", 1 / 3)
    assert one.risk == float(f"{1 / (1 + math.exp(-9.0 * (0.333333 - 0.5))):.6g}")
    assert one.under(alpha=9.0, s_base=0.5) == one
    assert one.under(alpha=9.0, s_base=one.similarity).risk == 0.5


def test_what_a_table_of_text_cannot_hold_is_taken_out_of_names() -> None:
    strange = row("safe", 0.2, "two\nlines\t\x00\ud800 end" + "x" * 200, "k" * 100)
    assert strange.id.startswith("two lines end")
    assert (len(strange.id), len(strange.kind)) == (80, 40)
    assert row("safe", 0.2, "\n").id == "-"
    assert read_similarities(encode_similarities([strange, row("unsafe", 0.5)]))[0] == strange


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=100), st.sampled_from(["safe", "unsafe"]), st.text(max_size=60), st.floats(0, 1)),
        max_size=8,
    )
)
def test_every_table_that_is_written_is_read_back(cells: list[tuple[str, str, str, float]]) -> None:
    rows = [row(label, similarity, name, kind) for name, label, kind, similarity in cells]
    rows += [row("safe", 0.2), row("unsafe", 0.7)]
    assert read_similarities(encode_similarities(rows)) == tuple(rows)


def test_the_largest_table_stays_within_what_a_packs_file_may_hold() -> None:
    widest = row("unsafe", 1.23456e-5, "\U00020000" * 80, "\U00020000" * 40)
    table = encode_similarities([widest] * (MAX_ROWS - 1) + [row("safe", 0.5)])
    assert len(table) < EVIDENCE_LIMIT
    assert len(read_similarities(table)) == MAX_ROWS
    with pytest.raises(PackError, match="more than the 20000 rows"):
        read_similarities(table + SAFE)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1 must hold the columns id,label,kind,similarity,risk, got: ''"),
        (b"id,label\n", "got: 'id,label'"),
        (HEAD, "none labelled safe"),
        (HEAD + SAFE, "none labelled unsafe"),
        (HEAD + SAFE + b"b,unsafe,0.9,0.99\n", "line 3 must have 5 columns, got: '4'"),
        (HEAD + SAFE + b"\n" + UNSAFE, "line 3 must have 5 columns, got: '0'"),
        (HEAD + SAFE + b",unsafe,,0.9,0.9\n", "line 3 must have an id"),
        (HEAD + b"x" * 81 + SAFE[1:] + UNSAFE, "line 2 must have an id of 1 to 80"),
        (HEAD + b'"a\nb",safe,,0.1,0.1\n' + UNSAFE, "line 2 must have an id"),
        (HEAD + SAFE + b"b,harmful,,0.9,0.9\n", "must be labelled safe or unsafe, got: 'harmful'"),
        (HEAD + b"a,safe," + b"k" * 41 + b",0.1,0.1\n" + UNSAFE, "a kind of at most 40"),
        (HEAD + SAFE + b"b,unsafe,,nan,0.9\n", "a similarity from 0 to 1, got: 'nan'"),
        (HEAD + SAFE + b"b,unsafe,,1.5,0.9\n", "a similarity from 0 to 1"),
        (HEAD + SAFE + b"b,unsafe,,-0.5,0.9\n", "a similarity from 0 to 1"),
        (HEAD + SAFE + b"b,unsafe,,0.9,1_0\n", "a risk from 0 to 1"),
        (HEAD + SAFE + b"b,unsafe,,0.9,\n", "a risk from 0 to 1"),
        (HEAD + SAFE + "b,unsafe,,0.9,٠\n".encode(), "a risk from 0 to 1"),
        (HEAD + SAFE + b'b,"unsafe,,0.9,0.9\n', "is no CSV table"),
        (HEAD + SAFE + b"\xff,unsafe,,0.9,0.9\n", "is not UTF-8 (byte 47)"),
        (HEAD + b"a" * 200_000 + SAFE + UNSAFE, "is no CSV table"),
        (bytes(EVIDENCE_LIMIT + 1), "more than the"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(data: bytes, said: str) -> None:
    with pytest.raises(PackError) as caught:
        read_similarities(data)
    message = str(caught.value)
    assert message.startswith("evidence/similarities.csv")
    assert said in message
    assert "; " in message
    assert "\n" not in message
    assert len(message) < 300


def test_the_curve_tells_what_every_baseline_lets_through_and_flags() -> None:
    rows = [row("unsafe", 0.9), row("unsafe", 0.4), row("safe", 0.1), row("safe", 0.4), row("safe", 0.6)]
    assert threshold_curve(rows) == (
        Stretch(0.0, 0.1, 0.0, 1.0),
        Stretch(0.1, 0.4, 0.0, 2 / 3),
        Stretch(0.4, 0.6, 0.5, 1 / 3),
        Stretch(0.6, 0.9, 0.5, 0.0),
        Stretch(0.9, 1.0, 1.0, 0.0),
    )
    assert shares_at(rows, 0.5) == (0.5, 1 / 3)
    assert shares_at(rows, 0.4) == (0.0, 1 / 3), "a query on the baseline is neither below nor above it"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.floats(0.001, 0.999),
)
def test_the_curve_agrees_with_counting_at_any_baseline(unsafe: list[float], safe: list[float], place: float) -> None:
    rows = [*(row("unsafe", value) for value in unsafe), *(row("safe", value) for value in safe)]
    curve = threshold_curve(rows)
    assert (curve[0].low, curve[-1].high) == (0.0, 1.0)
    for one, after in pairwise(curve):
        assert one.high == after.low
        assert one.let_through <= after.let_through
        assert one.flagged >= after.flagged
    here = next((one for one in curve if one.low < place < one.high), None)
    if here is not None:
        below = sum(one.similarity < place for one in rows if one.label == "unsafe")
        above = sum(one.similarity > place for one in rows if one.label == "safe")
        assert (here.let_through, here.flagged) == (below / len(unsafe), above / len(safe)) == shares_at(rows, place)
