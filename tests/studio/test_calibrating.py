"""A calibration on the page is the library's own, gives way, can be called off, and is kept version by version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ras_ext
from ras_ext.errors import InputError
from ras_ext.organism.queries import PROMPTS, text_queries
from ras_ext.studio.calibrating import ORGANISM, Order, Queries, Told, check, run, suggested_name
from ras_ext.studio.calibration_view import progress_html, result_html
from ras_ext.studio.desk import Desk
from ras_ext.studio.findings import Finding, findings
from ras_ext.studio.shelf import Shelf
from ras_ext.studio.work import CancelledError, Work
from ras_ext.vectors import SteeringVectors
from tests.conftest import Subject


@pytest.fixture
def desk(organism: Subject, tmp_path: Path) -> Desk:
    opens: Callable[[str], Any] = lambda name: (organism.model, organism.processor)  # noqa: E731
    return Desk([ORGANISM], Shelf(tmp_path / "studio"), opens=opens, places=lambda name: str(tmp_path))


@pytest.fixture(scope="module")
def few() -> Order:
    lists = [text_queries("calibration", label, 8) for label in ("unsafe", "safe")]
    return Order(ORGANISM, "mine", "paper", queries=Queries(*lists), regions=False)


def test_it_gives_what_the_library_gives(desk: Desk, organism: Subject, few: Order) -> None:
    told: list[Told] = []
    run(desk, few, told.append)
    found = told[-1].vectors
    own = ras_ext.calibrate(
        organism.model,
        organism.processor,
        unsafe=few.queries.unsafe,
        safe=few.queries.safe,
        prompts=PROMPTS,
        schedule="paper",
        max_new_tokens=32,
        name="mine",
        base_model=ORGANISM,
        regions=False,
    )
    assert found is not None
    assert torch.equal(found.prototypes, own.prototypes)
    assert (found.alpha, found.s_base, found.base_model) == (own.alpha, own.s_base, own.base_model)
    assert (found.name, found.base_model.id) == ("mine", ORGANISM)
    assert told[0].vectors is None
    assert all(0 <= stage.done <= stage.total for one in told for stage in one.stages)
    html = result_html(found)
    assert "Separation of the similarities" in html
    assert html.count('class="ras-dark"') == html.count('class="ras-light"') == 2
    assert 'role="progressbar"' in progress_html(told[1])


def test_others_get_their_turn_while_it_runs(desk: Desk, few: Order) -> None:
    turns, order = desk.open(ORGANISM).turns, list[str]()
    waiter: list[threading.Thread] = []

    def other() -> None:
        with turns:
            order.append("other")

    def tell(told: Told) -> None:
        if told.vectors is not None:
            order.append("done")
        elif not waiter:
            waiter.append(threading.Thread(target=other, daemon=True))
            waiter[0].start()
            while not turns.waiting:
                pass

    run(desk, few, tell)
    waiter[0].join(20)
    assert order == ["other", "done"]


def test_what_is_called_off_ends_and_frees_the_model(desk: Desk, few: Order) -> None:
    work: Work[Told] = Work(lambda tell: run(desk, few, tell))
    read = iter(work)
    next(read)
    work.cancel()
    with pytest.raises(CancelledError):
        list(read)
    with desk.open(ORGANISM).turns:
        assert desk.open(ORGANISM).turns.waiting == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "/etc"}, "there is no model '/etc' in this studio; it has builtin:organism"),
        ({"schedule": "fast"}, "'fast' is no schedule; choose auto or paper"),
        ({"name": ""}, "a pack cannot be called ''"),
        ({"name": "../up"}, r"a pack cannot be called '\.\./up'"),
        ({"name": "a--b"}, "a pack cannot be called 'a--b'"),
        ({"license": "<b>"}, "'<b>' is no licence"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused_before_any_work(
    desk: Desk, few: Order, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(desk, replace(few, **changes), lambda told: pytest.fail("it began"))


@pytest.mark.parametrize(
    "model", [ORGANISM, "llava-hf/llava-1.5-7b-hf", "/a folder/my model/", "..", "C:\\m\\x--y", "é"]
)
def test_a_suggested_name_can_be_one(model: str) -> None:
    check(Order(model, suggested_name(model)), [model])


def test_saving_makes_version_after_version(desk: Desk, organism: Subject) -> None:
    assert desk.shelf.save(organism.vectors, "mine", "Calibrated").tag == "v1"
    assert desk.shelf.save(replace(organism.vectors, s_base=0.4), "mine", "Calibrated").tag == "v2"


def _with(vectors: SteeringVectors, **record: Any) -> dict[str, Finding]:
    return {one.what: one for one in findings(replace(vectors, calibration={**vectors.calibration, **record}))}


@pytest.mark.parametrize(
    ("what", "good", "doubtful"),
    [
        (
            "Separation of the similarities",
            {"similarity_unsafe": [0.9, 0.8], "similarity_safe": [0.1, 0.2]},
            {"similarity_unsafe": [0.5, 0.4], "similarity_safe": [0.4, 0.6]},
        ),
        ("Baseline S_base", {"source": "images"}, {"source": "text"}),
        ("Unsafe below the baseline", {"false_negatives": 0.1}, {"false_negatives": 0.11}),
        ("Safe above the baseline", {"false_positives": 0.1}, {"false_positives": 0.11}),
        ("Unsafe text queries refused", {"refused": 1.0}, {"refused": 0.1}),
        ("Spread of the prototype", {"prototype_spread": 0.0}, {"prototype_spread": 0.9}),
        ("First token of a refusal", {"first_token_ambiguity": 0.0}, {"first_token_ambiguity": 0.9}),
    ],
)
def test_every_judgement_has_its_twin(
    organism: Subject, what: str, good: dict[str, Any], doubtful: dict[str, Any]
) -> None:
    assert _with(organism.vectors, **good)[what].verdict == "good"
    assert _with(organism.vectors, **doubtful)[what].verdict == "doubtful"
    assert what in _with(organism.vectors, **good)


def test_a_hostile_first_token_is_text(organism: Subject) -> None:
    record = {**organism.vectors.calibration, "first_token": "<script>"}
    html = result_html(replace(organism.vectors, calibration=record))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
