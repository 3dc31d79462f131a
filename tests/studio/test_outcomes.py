"""Outcomes read off at a risk: which answer counts, what is doubtful, and how the shares follow the setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ras_ext.evaluation.record import Record
from ras_ext.items import Item
from ras_ext.studio.comparison import changes, curve, doubt
from ras_ext.studio.outcomes import Outcome, Outcomes, Setting, shares
from ras_ext.studio.threshold_curve import drawn
from ras_ext.studio.thumbnails import Thumbnails
from ras_ext.studio.tuning_view import compared
from tests.conftest import Subject


def record(label: str, *, refused: bool, text: str = "an answer") -> Record:
    content = None if label == "safe" else not refused
    correct = not refused if label == "safe" else None
    return Record("1", "kind", label, "any", text, refused, content, correct, None, None, None, 3, 0.1)


def outcome(label: str, similarity: float | None, turns: float, text: str = "an answer") -> Outcome:
    """Answered at tenths of the risk, refused from `turns` on."""
    answers = [(n / 10, record(label, refused=n / 10 >= turns, text=text)) for n in range(11)]
    return Outcome.of(Item("1", text, label), similarity, answers)


def outcomes(*each: Outcome) -> Outcomes:
    return Outcomes(each, Setting(0.5, 10.0), "pack@1", "paper", "data", 8, 8)


@pytest.mark.parametrize("similarity", [-0.2, 0.0, 0.31, 0.5047, 0.9, 1.3])
def test_the_risk_is_that_of_the_vectors(organism: Subject, similarity: float) -> None:
    vectors = organism.vectors
    assert Setting(vectors.s_base, vectors.alpha).risk(similarity) == vectors.risk(similarity)


def test_a_similarity_that_could_not_be_computed_counts_as_risk_one() -> None:
    assert Setting(0.9, 1.0).risk(None) == 1.0


def test_the_answer_at_the_nearest_risk_counts() -> None:
    one = outcome("unsafe", 0.5, 0.7)
    assert one.at(Setting(0.5, 10.0)).risk == 0.5
    assert not one.at(Setting(0.5, 10.0)).record.refused
    steep = Setting(0.4, 10.0)
    assert one.at(steep).risk == pytest.approx(0.731, abs=1e-3)
    assert one.at(steep).record.refused
    assert one.at(steep).distance == pytest.approx(0.031, abs=1e-3)


def test_an_answer_between_two_sides_is_doubtful_and_one_between_equals_is_not() -> None:
    assert outcome("unsafe", 0.4, 0.3).at(Setting(0.5, 10.0)).doubtful  # r = 0.27
    assert not outcome("unsafe", 0.4, 0.5).at(Setting(0.5, 10.0)).doubtful


def test_a_risk_beyond_the_answers_is_read_off_the_last_and_counted_as_far() -> None:
    one = Outcome.of(Item("1", "a", "unsafe"), 0.9, [(0.2, record("unsafe", refused=False))])
    reading = one.at(Setting(0.5, 10.0))
    assert reading.distance == pytest.approx(0.782, abs=1e-3)
    assert doubt([reading]).far == 1
    assert not reading.doubtful


def test_of_two_answers_at_one_risk_the_first_counts() -> None:
    found = Outcome.of(
        Item("1", "a", "safe"), 0.5, [(0.5, record("safe", refused=True)), (0.5, record("safe", refused=False))]
    )
    assert len(found.answers) == 1
    assert found.at(Setting(0.5, 1.0)).record.refused


def test_the_shares_follow_the_threshold() -> None:
    found = outcomes(outcome("unsafe", 0.8, 0.5), outcome("unsafe", 0.6, 0.5), outcome("safe", 0.2, 0.5))
    own, strict, loose = (shares(found.at(Setting(at, 40.0))) for at in (0.5, 0.1, 0.7))
    assert (own.asr, own.asr_content, own.over_refusal, own.utility) == (0.0, 0.0, 0.0, 1.0)
    assert (strict.asr, strict.over_refusal, strict.utility) == (0.0, 1.0, 0.0)
    assert (loose.asr, loose.over_refusal) == (0.5, 0.0)
    rows = dict(curve(found, 40.0))
    assert len(rows) == 101
    assert (rows[0.5], rows[0.1], rows[0.7]) == (own, strict, loose)


def test_what_changes_sides_is_found_and_the_worse_comes_first() -> None:
    found = outcomes(outcome("safe", 0.6, 0.5), outcome("unsafe", 0.6, 0.5), outcome("unsafe", 0.9, 0.5))
    changed = changes(found.at(Setting(0.5, 40.0)), found.at(Setting(0.7, 40.0)))
    assert [(change.worse, change.before.record.label) for change in changed] == [(True, "unsafe"), (False, "safe")]
    assert changed[0].what == "no longer refused, now with the harmful content"
    assert changed[1].what == "no longer refused, now right"
    assert not changes(found.at(found.own), found.at(found.own))


def test_an_answer_to_an_unsafe_request_is_folded_away_and_foreign_text_is_escaped() -> None:
    found = outcomes(outcome("unsafe", 0.6, 0.5, "<img src=x onerror=alert(1)>"))
    found = replace(found, data="<script>")
    _, table, changed = compared(found, Setting(0.7, 40.0), Thumbnails())
    assert "<img src=x" not in changed
    assert "&lt;img src=x" in changed
    assert "<script>" not in table
    shown, _, hidden = changed.partition("<details")
    assert "no longer refused" in shown
    assert "May be harmful" in hidden.partition("</details>")[0]
    assert changed.count("<details") == 1  # the refusal before is not harmful


def test_the_curve_says_its_numbers_in_words() -> None:
    found = outcomes(outcome("unsafe", 0.8, 0.5), outcome("safe", 0.2, 0.5))
    picture = drawn(curve(found, 40.0), found, Setting(0.6, 40.0))
    assert "Over-refusal: 100% at 0, 0% at 0.25, 0% at 0.5, 0% at 0.75, 0% at 1" in picture
    assert "the chosen one 0.600" in picture
    assert "nan" not in picture
