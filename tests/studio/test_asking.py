"""A question of the Try tab is answered as the library answers it, told as it comes, and can be called off."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ras_ext.defenses.undefended import Undefended
from ras_ext.errors import InputError, PackError
from ras_ext.guard import Guard
from ras_ext.items import Item
from ras_ext.studio.asking import Question, Told, ask, explained
from ras_ext.studio.desk import Desk
from ras_ext.studio.shelf import Shelf
from ras_ext.studio.work import CancelledError, Work
from tests.conftest import Subject

ORGANISM = "builtin:organism"


@pytest.fixture
def desk(organism: Subject, tmp_path: Path) -> Desk:
    place = tmp_path / "model"
    place.mkdir()
    opens = lambda name: (organism.model, organism.processor)  # noqa: E731
    return Desk([ORGANISM], Shelf(tmp_path / "studio"), opens=opens, places=lambda name: str(place))


def _question(item: Item, **changes: Any) -> Question:
    image = item.request().images[0] if item.image else None
    return replace(Question(ORGANISM, ORGANISM, item.text, image), **changes)


def _told(desk: Desk, question: Question) -> list[Told]:
    told: list[Told] = []
    ask(desk, question, told.append)
    return told


@pytest.fixture
def items(evaluation_set: list[Item]) -> list[Item]:
    return [item for item in evaluation_set if item.image and not item.history][::40]


def test_both_answers_are_those_of_the_library(desk: Desk, organism: Subject, items: list[Item]) -> None:
    guard = Guard(organism.model, organism.processor, organism.vectors)
    for item in items:
        last = _told(desk, _question(item))[-1]
        answer = guard.generate(item.image, item.text, max_new_tokens=64)
        plain = Undefended(organism.model, organism.processor).answer([item.request()], max_new_tokens=64)[0]
        assert (last.stage, last.defended, last.undefended) == ("done", answer.text, plain.text)
        assert last.answer is not None
        assert last.answer.risk == pytest.approx(answer.risk, abs=1e-5)
        assert last.answer.dose == pytest.approx(answer.dose, abs=1e-5)
        assert last.words is not None
        assert last.words.similarity == pytest.approx(answer.similarity, abs=1e-5)


def test_the_answers_come_word_by_word_and_the_risk_before_them(desk: Desk, items: list[Item]) -> None:
    told = _told(desk, _question(next(item for item in items if item.label == "safe")))
    stages = [one.stage for one in told]
    assert sorted(stages, key=["waiting", "judging", "defended", "undefended", "done"].index) == stages
    assert not any(one.defended for one in told if one.risk is None)
    for side in ("defended", "undefended"):
        grown = [getattr(one, side) for one in told]
        assert len({text for text in grown if text}) > 3
        assert all(after.startswith(before) for before, after in pairwise(grown))


def test_the_undefended_answer_is_hidden_until_the_risk_is_known_to_be_low(desk: Desk, items: list[Item]) -> None:
    for item in items:
        told = _told(desk, _question(item))
        assert all(one.hidden for one in told if one.risk is None)
        last = told[-1]
        assert last.risk is not None
        assert last.hidden == (last.risk.risk >= 0.5)
    assert {_told(desk, _question(item))[-1].hidden for item in items} == {True, False}
    assert _told(desk, _question(next(i for i in items if i.label == "safe"), harmful=True))[-1].hidden


def test_without_the_other_side_the_model_answers_once(desk: Desk, items: list[Item]) -> None:
    last = _told(desk, _question(items[0], beside=False))[-1]
    assert (last.undefended, last.plain_tokens) == ("", None)
    assert last.defended


def test_a_schedule_of_the_pack_can_be_chosen(desk: Desk, items: list[Item]) -> None:
    item = next(item for item in items if item.label == "unsafe")
    steps = {name: _told(desk, _question(item, schedule=name))[-1].answer.steps for name in ("paper", "auto")}  # type: ignore[union-attr]
    assert steps["paper"] == 3 < steps["auto"]


def test_what_cannot_be_asked_is_one_sentence(desk: Desk, items: list[Item]) -> None:
    with pytest.raises(InputError, match="at least one word"):
        ask(desk, replace(_question(items[0]), text="  "), lambda told: None)
    with pytest.raises(InputError, match="there is no model 'other'"):
        ask(desk, replace(_question(items[0]), model="other"), lambda told: None)
    with pytest.raises(PackError):
        ask(desk, replace(_question(items[0]), pack="studio:nothing@v1"), lambda told: None)
    with pytest.raises(InputError, match="no picture"):
        explained(desk, replace(_question(items[0]), image=None))


def test_an_answer_that_is_called_off_leaves_the_model_to_the_next(desk: Desk, items: list[Item]) -> None:
    question = _question(items[0])

    def stop(told: Told) -> None:
        if told.defended:
            raise CancelledError

    with pytest.raises(CancelledError):
        ask(desk, question, stop)
    assert _told(desk, question)[-1].stage == "done"


def test_eight_who_ask_at_once_each_get_their_own_answer(desk: Desk, evaluation_set: list[Item]) -> None:
    items = [item for item in evaluation_set if item.image and not item.history][:8]
    alone = {item.id: _told(desk, _question(item))[-1].defended for item in items}
    together: dict[str, str] = {}

    def person(item: Item) -> None:
        for told in Work(lambda tell: ask(desk, _question(item), tell)):
            together[item.id] = told.defended

    threads = [threading.Thread(target=person, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_where_it_looks_is_explained_for_the_question_that_was_asked(desk: Desk, items: list[Item]) -> None:
    found = explained(desk, _question(items[0]))
    assert found.before.query == items[0].text
    assert found.size == items[0].request().images[0].size
