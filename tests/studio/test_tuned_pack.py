"""A tuned pack on the shelf: measured for real, with evidence of its own, and nothing left of another threshold's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ras_ext import Guard, SteeringVectors, load_vectors
from ras_ext.errors import InputError, PackError
from ras_ext.evaluation.saved import load
from ras_ext.items import load_items
from ras_ext.organism.queries import write_set
from ras_ext.registry.evidence import SIMILARITIES_FILE, ScoredQuery, encode_similarities, read_similarities
from ras_ext.studio.answering import measure
from ras_ext.studio.outcomes import Outcomes, Setting, shares
from ras_ext.studio.run_outcomes import outcomes_of
from ras_ext.studio.shelf import Shelf
from ras_ext.studio.tuned_pack import Tuned, measure_and_save, retuned
from ras_ext.studio.work import CancelledError
from tests.conftest import Subject

CHOSEN = Setting(0.5, 0.5)  # at which the organism refuses some of the safe requests as well


@pytest.fixture(scope="module")
def outcomes(organism: Subject, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    items = load_items(write_set("calibration", tmp_path_factory.mktemp("tuned"), count=24))
    return measure(Guard(organism.model, organism.processor, organism.vectors), items, data="24 requests")


def save(organism: Subject, outcomes: Outcomes, shelf: Shelf, name: str = "tuned", progress=None) -> Tuned:
    return measure_and_save(
        organism.model,
        organism.processor,
        organism.vectors,
        outcomes,
        CHOSEN,
        shelf=shelf,
        name=name,
        message="why",
        model_name="builtin:organism",
        progress=progress,
    )


def test_a_tuned_pack_is_measured_saved_and_can_be_used(organism: Subject, outcomes: Outcomes, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "studio")
    tuned = save(organism, outcomes, shelf)
    assert tuned.published.tag == "v1"
    assert shelf.packs()[0].name == "studio:tuned@v1"
    name, registry = shelf.place("studio:tuned@v1")
    loaded = load_vectors(name, registry=registry, model=organism.model, processor=organism.processor)
    assert (loaded.alpha, loaded.s_base, loaded.name) == (0.5, 0.5, "tuned")
    evidence = loaded.evidence["evaluation"]
    assert evidence["vectors"] == loaded.id
    assert evidence["data"] == "24 requests"
    assert [row["defense"] for row in evidence["rows"]] == ["ras_auto", "none"]
    assert evidence["rows"][0]["over_refusal"] == pytest.approx(tuned.measured.over_refusal, abs=1e-6)
    assert loaded.calibration["tuned"] == {"from": organism.vectors.id, "on": "24 requests", "requests": 24}
    assert str(tmp_path) not in str(loaded.to_config())


def test_measured_and_read_off_agree_but_for_what_is_doubtful(
    organism: Subject, outcomes: Outcomes, tmp_path: Path
) -> None:
    tuned = save(organism, outcomes, Shelf(tmp_path / "studio"))
    either = sum(reading.doubtful for reading in outcomes.at(CHOSEN))
    for share, total in (("asr", "n_unsafe"), ("over_refusal", "n_safe")):
        apart = abs(getattr(tuned.measured, share) - getattr(tuned.read_off, share))
        assert apart <= either / getattr(tuned.measured, total)
    assert (
        tuned.measured.over_refusal != shares(outcomes.at(outcomes.own)).over_refusal
    )  # the setting was really another one


def test_the_kept_run_can_be_tuned_on_in_its_turn(organism: Subject, outcomes: Outcomes, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "studio")
    tuned = save(organism, outcomes, shelf)
    assert shelf.runs() == [tuned.run]
    found = outcomes_of(load(shelf.run(tuned.run)), tuned.vectors)
    assert found.own == CHOSEN
    assert found.at_hand
    again = save(organism, outcomes, shelf)
    assert again.run == tuned.run
    assert again.published.unchanged


def test_work_that_is_called_off_saves_no_pack_and_is_gone_on_with(
    organism: Subject, outcomes: Outcomes, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path / "studio")

    def stop(what: str, done: int, total: int) -> None:
        if done:
            raise CancelledError

    with pytest.raises(CancelledError):
        save(organism, outcomes, shelf, progress=stop)
    assert not (tmp_path / "studio" / "registry").exists()
    told: list[int] = []
    save(organism, outcomes, shelf, progress=lambda what, done, total: told.append(done))
    assert told[0] == 16


def test_a_name_that_cannot_be_one_is_refused_before_anything_is_measured(
    organism: Subject, outcomes: Outcomes, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        save(organism, outcomes, Shelf(tmp_path / "studio"), "../out")
    assert not (tmp_path / "studio").exists()


def test_a_set_whose_pictures_are_gone_gives_no_evidence(organism: Subject, outcomes: Outcomes, tmp_path: Path) -> None:
    gone = tuple(
        replace(one, item=replace(one.item, image=tmp_path / "gone.png")) if one.item.image else one
        for one in outcomes.each
    )
    with pytest.raises(InputError, match="pictures of this set are not here"):
        save(organism, replace(outcomes, each=gone), Shelf(tmp_path / "studio"))


def test_the_calibrations_own_similarities_are_put_under_the_new_setting(organism: Subject, outcomes: Outcomes) -> None:
    rows = [
        ScoredQuery.of(str(n), label, "", s, alpha=organism.vectors.alpha, s_base=organism.vectors.s_base)
        for n, (label, s) in enumerate([("safe", 0.1), ("safe", 0.8), ("unsafe", 0.3), ("unsafe", 0.9)])
    ]
    with_rows: SteeringVectors = replace(
        organism.vectors, evidence_files={SIMILARITIES_FILE: encode_similarities(rows)}
    )
    found = retuned(with_rows, Setting(0.85, 4.0), outcomes, "owner/tuned")
    assert found.name == "tuned"
    assert (found.calibration["false_negatives"], found.calibration["false_positives"]) == (0.5, 0.0)
    risks = [row.risk for row in read_similarities(found.evidence_files[SIMILARITIES_FILE])]
    assert risks == pytest.approx([Setting(0.85, 4.0).risk(s) for s in (0.1, 0.8, 0.3, 0.9)], abs=1e-5)


@pytest.mark.parametrize("setting", [Setting(0.0, 4.0), Setting(1.0, 4.0), Setting(0.5, 0.0)])
def test_a_threshold_or_slope_that_cannot_be_one_is_refused(
    organism: Subject, outcomes: Outcomes, setting: Setting
) -> None:
    with pytest.raises(PackError, match=r"s_base|alpha"):
        retuned(organism.vectors, setting, outcomes, "tuned")
