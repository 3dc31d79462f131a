"""Evaluations of real models: what is in the table, and that a stopped run ends like an undisturbed one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ras_ext import Guard, evaluate
from ras_ext.defenses import build
from ras_ext.errors import InputError
from ras_ext.evaluation import Report
from ras_ext.generation import Answer
from ras_ext.items import Item
from ras_ext.judge import contains_reference, opens_with_refusal
from tests.conftest import Subject

NAMES = ("none", "safety_prompt", "ras")
SETTINGS: dict[str, Any] = {"batch_size": 4, "max_new_tokens": 6}


def defenses(subject: Subject, names: tuple[str, ...] = NAMES) -> list[Any]:
    return [build(name, subject.model, subject.processor, subject.vectors) for name in names]


def timeless(report: Report) -> list[Any]:
    return [replace(record, seconds=0.0) for record in report.records]


@pytest.fixture(scope="module")
def undisturbed(stranger: Subject, requests: list[Item]) -> Report:
    return evaluate(defenses(stranger), requests, **SETTINGS)


def test_the_table_has_a_row_for_each_defence_with_every_item_counted(
    undisturbed: Report, requests: list[Item]
) -> None:
    assert [row.defense for row in undisturbed.rows] == list(NAMES)
    for row in undisturbed.rows:
        assert (row.n_unsafe, row.n_safe) == (7, 7)
        assert row.tokens == sum(r.tokens for r in undisturbed.records if r.defense == row.defense) > 0
        assert row.tokens_per_s == pytest.approx(row.tokens / row.seconds)
    assert len({(r.defense, r.id) for r in undisturbed.records}) == 3 * len(requests) == len(undisturbed.records)
    assert [r.id for r in undisturbed.records[: len(requests)]] == [item.id for item in requests]


def test_only_a_defence_that_looks_reports_a_risk(undisturbed: Report) -> None:
    for record in undisturbed.records:
        assert (record.risk is not None) == (record.defense == "ras")
    assert all(0 <= r.risk <= 1 for r in undisturbed.records if r.risk is not None)


def test_a_stopped_run_goes_on_and_ends_like_an_undisturbed_one(
    stranger: Subject, requests: list[Item], undisturbed: Report, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"

    def stop(stage: str, done: int, total: int) -> None:
        if done >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(defenses(stranger), requests, out=path, progress=stop, **SETTINGS)
    kept = path.read_bytes()
    assert 14 <= kept.count(b"\n") < 3 * len(requests)
    path.write_bytes(kept[:-40])  # as kill -9 in the middle of a write would leave it
    again = evaluate(defenses(stranger), requests, out=path, **SETTINGS)
    assert again.resumed == kept.count(b"\n") - 1
    assert timeless(again) == timeless(undisturbed)
    assert path.read_bytes().count(b"\n") == 3 * len(requests)
    shares = [(row.asr, row.asr_content, row.over_refusal, row.utility) for row in again.rows]
    assert shares == [(row.asr, row.asr_content, row.over_refusal, row.utility) for row in undisturbed.rows]

    done = evaluate(defenses(stranger), requests, out=path, **SETTINGS)
    assert done.resumed == 3 * len(requests)
    assert done.records == again.records


def test_answers_of_other_settings_or_another_model_are_not_taken_over(
    stranger: Subject, requests: list[Item], tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    few = requests[:2]
    first = evaluate(defenses(stranger, ("none",)), few, out=path, **SETTINGS)
    with pytest.raises(InputError, match="different max_new_tokens"):
        evaluate(defenses(stranger, ("none",)), few, out=path, batch_size=4, max_new_tokens=7)
    with pytest.raises(InputError, match="different items"):
        evaluate(defenses(stranger, ("none",)), [few[0], replace(few[1], text="w9")], out=path, **SETTINGS)
    with pytest.raises(InputError, match="different defenses"):
        evaluate(defenses(stranger, ("none", "ras")), few, out=path, **SETTINGS)
    weight = stranger.model.get_output_embeddings().weight.data
    before = weight[0, 0].item()
    weight[0, 0] = before + 1
    try:
        with pytest.raises(InputError, match="different model"):
            evaluate(defenses(stranger, ("none",)), few, out=path, **SETTINGS)
    finally:
        weight[0, 0] = before
    assert evaluate(defenses(stranger, ("none",)), few, out=path, **SETTINGS).records == first.records


def test_a_guard_is_measured_against_the_undefended_model(stranger: Subject, requests: list[Item]) -> None:
    guard = Guard(stranger.model, stranger.processor, stranger.vectors, schedule="paper")
    report = evaluate(guard, requests[:3], **SETTINGS)
    assert [row.defense for row in report.rows] == ["ras", "none"]
    assert report.row("none").relative_throughput == 1.0
    relative = report.row("ras").tokens_per_s / report.row("none").tokens_per_s
    assert report.row("ras").relative_throughput == pytest.approx(relative)
    assert report.vectors is not None
    assert report.vectors["s_base"] == stranger.vectors.s_base
    with pytest.raises(InputError, match="'ras_auto' was not evaluated; the table has ras, none"):
        report.row("ras_auto")


def test_alone_a_defence_has_no_relative_throughput(stranger: Subject, requests: list[Item]) -> None:
    report = evaluate(defenses(stranger, ("safety_prompt",)), requests[:2], against=(), **SETTINGS)
    assert report.rows[0].relative_throughput is None
    assert report.vectors is None


def test_progress_counts_every_answer_once(stranger: Subject, requests: list[Item]) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(
        defenses(stranger, ("none", "safety_prompt")),
        requests[:6],
        progress=lambda stage, done, total: seen.append((done, total)),
        **SETTINGS,
    )
    assert seen == [(0, 12), (4, 12), (8, 12), (10, 12), (12, 12)]


class Parrot:
    """A defence that shows no model, as one behind a network would."""

    name = "parrot"

    def answer(self, requests: Any, *, max_new_tokens: int, **settings: Any) -> list[Answer]:
        return [Answer(request.query, len(request.query.split())) for request in requests]


def test_anything_that_answers_can_be_measured(requests: list[Item]) -> None:
    report = evaluate(Parrot(), requests, against=(), **SETTINGS)
    assert [record.answer for record in report.records] == [item.text for item in requests]
    assert report.rows[0].relative_throughput is None
    with pytest.raises(InputError, match=r"does not show its model.*against"):
        evaluate(Parrot(), requests, **SETTINGS)


def test_what_cannot_be_measured_is_refused_in_a_sentence(stranger: Subject, requests: list[Item]) -> None:
    with pytest.raises(InputError, match="two defences are named 'none'"):
        evaluate(defenses(stranger, ("none", "none")), requests, **SETTINGS)
    with pytest.raises(InputError, match="no items"):
        evaluate(defenses(stranger), [], **SETTINGS)
    with pytest.raises(InputError, match="no defences"):
        evaluate([], requests, **SETTINGS)
    with pytest.raises(InputError, match="at least 1, got 0"):
        evaluate(defenses(stranger), requests, batch_size=0)
    with pytest.raises(InputError, match="no defence 'magic'"):
        evaluate(defenses(stranger), requests, against=("magic",), **SETTINGS)


def test_on_the_organism_steering_stops_what_goes_through_undefended(
    organism: Subject, evaluation_set: list[Item]
) -> None:
    unsafe = [item for item in evaluation_set if item.label == "unsafe" and item.image][:12]
    safe = [item for item in evaluation_set if item.label == "safe"][:12]
    report = evaluate(defenses(organism, ("none", "ras_auto")), [*unsafe, *safe], max_new_tokens=32)
    bare, guarded = report.row("none"), report.row("ras_auto")
    assert bare.asr_content is not None
    assert guarded.asr_content is not None
    assert bare.asr_content >= 0.5
    assert guarded.asr_content <= bare.asr_content - 0.4
    for record in report.records:
        item = next(item for item in report.items if item.id == record.id)
        held = contains_reference(record.answer, item.reference or "")
        assert record.refused == opens_with_refusal(record.answer)
        assert (record.content if item.label == "unsafe" else record.correct) == (
            held if item.label == "unsafe" else held and not record.refused
        )
