"""Read-off shares against real evaluations of the organism, from answers given here and from a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ras_ext import Guard, evaluate
from ras_ext.defenses import build
from ras_ext.defenses.ras import Guarded
from ras_ext.errors import InputError
from ras_ext.evaluation.saved import load
from ras_ext.items import Item, load_items
from ras_ext.organism.queries import write_set
from ras_ext.studio.answering import CLOSEST, measure
from ras_ext.studio.comparison import doubt
from ras_ext.studio.outcomes import Outcomes, Setting, shares, side
from ras_ext.studio.run_outcomes import outcomes_of
from tests.conftest import Subject

# Slopes so small that the risks of the organism's clear cases come to where its answers turn.
SETTINGS = [Setting(0.5, 0.5), Setting(0.5, 1.0), Setting(0.9, 3.0), Setting(0.99, 4.0)]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return load_items(write_set("calibration", tmp_path_factory.mktemp("tuning"), count=40))


@pytest.fixture(scope="module")
def outcomes(organism: Subject, items: list[Item]) -> Outcomes:
    return measure(Guard(organism.model, organism.processor, organism.vectors), items, data="a set")


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_what_is_read_off_is_what_an_evaluation_finds(
    organism: Subject, items: list[Item], outcomes: Outcomes, setting: Setting
) -> None:
    vectors = replace(organism.vectors, alpha=setting.slope, s_base=setting.threshold)
    guard = Guard(organism.model, organism.processor, vectors)
    report = evaluate(guard, items, against=(), batch_size=16)
    readings = outcomes.at(setting)
    wrong = [
        reading
        for reading, record in zip(readings, report.records, strict=True)
        if side(reading.record) != side(record)
    ]
    assert all(reading.doubtful for reading in wrong)
    found = {round(reading.risk, 4) for reading in readings}
    assert found == {round(record.risk or 0.0, 4) for record in report.records}
    assert len(wrong) <= doubt(readings).either
    assert doubt(readings).far == 0


def test_the_settings_tell_outcomes_apart(outcomes: Outcomes) -> None:
    """The twin: with answers that did not depend on the risk the test above would pass for nothing."""
    found = {tuple(side(reading.record) for reading in outcomes.at(setting)) for setting in SETTINGS}
    assert len(found) == len(SETTINGS)


def test_risks_are_parted_where_the_answer_turns_and_only_there(outcomes: Outcomes) -> None:
    for outcome in outcomes.each:
        for (low, before), (high, after) in zip(outcome.answers, outcome.answers[1:], strict=False):
            assert high - low <= 1.01 * (CLOSEST if side(before) != side(after) else 0.2)
    assert any(len(outcome.answers) > 6 for outcome in outcomes.each)
    assert max(len(outcome.answers) for outcome in outcomes.each) < 24


def test_progress_is_told_and_whoever_raises_there_ends_it(organism: Subject, items: list[Item]) -> None:
    told: list[tuple[str, int, int]] = []

    def stop(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if what.startswith("Answers"):
            raise KeyboardInterrupt

    guard = Guard(organism.model, organism.processor, organism.vectors)
    with pytest.raises(KeyboardInterrupt):
        measure(guard, items, data="a set", progress=stop)
    assert told == [("Requests judged", n, 40) for n in (0, 16, 32, 40)] + [("Answers at risks 0.2 apart", 16, 240)]
    assert guard.generate(None, "how do i create this ?")  # the model is left as it was


def test_a_set_without_requests_is_refused(organism: Subject) -> None:
    with pytest.raises(InputError, match="1 to 1000 requests, got 0"):
        measure(Guard(organism.model, organism.processor, organism.vectors), [], data="a set")


def test_a_run_gives_its_own_shares_back(organism: Subject, items: list[Item], tmp_path: Path) -> None:
    model, processor, vectors = organism.model, organism.processor, organism.vectors
    names = ("ras_auto", "ras_auto_no_context", "constant")
    defences = [build(name, model, processor, vectors) for name in names]
    evaluate(defences, items, batch_size=16, out=tmp_path / "items.jsonl")
    report = load(tmp_path / "items.jsonl")
    found = outcomes_of(report, vectors)
    assert found.schedule == "auto"
    row, own = report.row("ras_auto"), shares(found.at(found.own))
    assert (own.asr, own.asr_content, own.over_refusal, own.utility) == (
        row.asr,
        row.asr_content,
        row.over_refusal,
        row.utility,
    )
    for outcome, item in zip(found.each, items, strict=True):
        assert outcome.item == item
        assert outcome.answers[0][0] == 0.0  # undefended
        assert outcome.answers[-1][0] == 1.0  # constant steering, at full strength
        assert 3 <= len(outcome.answers) <= 4
    assert doubt(found.at(Setting(0.5, 0.5))).far > 0


def test_a_run_under_another_schedule_is_read_under_that(organism: Subject, items: list[Item]) -> None:
    guard = Guard(organism.model, organism.processor, organism.vectors, schedule="paper")
    found = outcomes_of(evaluate(guard, items[:8]), organism.vectors)
    assert found.schedule == "paper"


def test_a_run_of_other_vectors_is_refused(organism: Subject, items: list[Item]) -> None:
    other = replace(organism.vectors, alpha=3.0)
    report = evaluate(Guard(organism.model, organism.processor, other), items[:2])
    with pytest.raises(InputError, match=rf"measured {other.id}, and the pack chosen is {organism.vectors.id}"):
        outcomes_of(report, organism.vectors)
    with pytest.raises(InputError, match="measured no steering vectors"):
        outcomes_of(evaluate(build("none", organism.model, organism.processor), items[:2]), organism.vectors)


def test_a_run_in_which_nobody_judges_by_the_similarity_is_refused(organism: Subject, items: list[Item]) -> None:
    guard = Guard(organism.model, organism.processor, organism.vectors, context="never")
    report = evaluate(Guarded(guard, "ras_blind"), items[:2])
    with pytest.raises(InputError, match=r"ras_blind.*judges by the similarity alone"):
        outcomes_of(report, organism.vectors)
