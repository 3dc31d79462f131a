"""Models are opened once, by the names that were offered; a guard is made once for a pack, until packs change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ras_ext import models
from ras_ext.errors import InputError, ModelError, PackMismatchError, PackNotFoundError, RasExtError
from ras_ext.studio.desk import Desk
from ras_ext.studio.shelf import HERE, Shelf
from tests.conftest import Subject

ORGANISM, OTHER = "builtin:organism", "another"


@pytest.fixture
def make(organism: Subject, tmp_path: Path) -> Callable[..., Desk]:
    def desk(*names: str, opens: Callable[[str], Any] | None = None, **loading: Any) -> Desk:
        return Desk(
            names or (ORGANISM,),
            Shelf(tmp_path / "studio"),
            opens=opens or (lambda name: (organism.model, organism.processor)),
            places=lambda name: str(tmp_path),
            **loading,
        )

    return desk


def test_a_model_that_is_not_offered_is_refused_with_those_that_are(make: Callable[..., Desk]) -> None:
    desk = make(ORGANISM, OTHER, ORGANISM)
    assert desk.names == [ORGANISM, OTHER]
    for name in ("/etc", "llava-hf/llava-1.5-7b-hf", ""):
        with pytest.raises(InputError, match="it was started with builtin:organism, another"):
            desk.open(name)


def test_eight_threads_open_a_model_once(make: Callable[..., Desk], organism: Subject) -> None:
    calls, found = [], []

    def opens(name: str) -> tuple[Any, Any]:
        calls.append(name)
        time.sleep(0.1)
        return organism.model, organism.processor

    desk = make(opens=opens)
    threads = [threading.Thread(target=lambda: found.append(desk.open(ORGANISM)), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert calls == [ORGANISM]
    assert len(found) == 8
    assert len({id(one.turns) for one in found}) == 1


def test_an_open_model_is_used_while_another_is_being_opened(make: Callable[..., Desk], organism: Subject) -> None:
    opening, go_on = threading.Event(), threading.Event()

    def opens(name: str) -> tuple[Any, Any]:
        if name == OTHER:
            opening.set()
            assert go_on.wait(20)
        return organism.model, organism.processor

    desk = make(ORGANISM, OTHER, opens=opens)
    first = desk.open(ORGANISM)
    slow = threading.Thread(target=desk.open, args=(OTHER,), daemon=True)
    slow.start()
    assert opening.wait(20)
    found: list[Any] = []
    quick = threading.Thread(target=lambda: found.append(desk.open(ORGANISM)), daemon=True)
    quick.start()
    quick.join(10)
    go_on.set()
    slow.join(20)
    assert found == [first]


def test_a_model_that_could_not_be_opened_is_tried_again(make: Callable[..., Desk], organism: Subject) -> None:
    failures = [ModelError("the disk is gone; bring it back")]

    def opens(name: str) -> tuple[Any, Any]:
        if failures:
            raise failures.pop()
        return organism.model, organism.processor

    desk = make(opens=opens)
    with pytest.raises(ModelError, match="the disk is gone"):
        desk.open(ORGANISM)
    assert desk.open(ORGANISM).model is organism.model


def test_a_model_that_does_not_fit_is_never_opened(organism: Subject, tmp_path: Path) -> None:
    with open(tmp_path / "model.safetensors", "wb") as file:
        file.truncate(10 << 40)
    desk = Desk(
        [OTHER],
        Shelf(tmp_path / "studio"),
        opens=lambda name: pytest.fail("it was opened"),
        places=lambda name: str(tmp_path),
    )
    with pytest.raises(ModelError, match="does not fit"):
        desk.open(OTHER)


def test_a_guard_is_made_once_for_a_pack_and_schedule(make: Callable[..., Desk]) -> None:
    desk = make()
    opened = desk.open(ORGANISM)
    guard = desk.guard(opened, ORGANISM)
    assert desk.guard(opened, ORGANISM) is guard
    assert desk.guard(opened, ORGANISM, "paper") is not guard


def test_the_guards_that_are_kept_are_few_and_the_newest(make: Callable[..., Desk], organism: Subject) -> None:
    desk = make()
    opened = desk.open(ORGANISM)
    for number in range(10):
        desk.shelf.save(replace(organism.vectors, alpha=1.0 + number), "mine", "")
        desk.guard(opened, f"{HERE}mine@v{number + 1}")
    assert [name for name, _ in opened.guards] == [f"{HERE}mine@v{number}" for number in range(3, 11)]


def test_guards_are_forgotten_when_packs_change(make: Callable[..., Desk]) -> None:
    desk = make()
    opened = desk.open(ORGANISM)
    before = desk.guard(opened, ORGANISM)
    desk.forget_guards()
    assert desk.guard(opened, ORGANISM) is not before


def test_guards_can_be_forgotten_while_others_are_made(make: Callable[..., Desk]) -> None:
    desk, failures, stop = make(), list[BaseException](), threading.Event()
    opened = desk.open(ORGANISM)

    def forget() -> None:
        while not stop.is_set():
            desk.forget_guards()

    def guards() -> None:
        try:
            for _ in range(3):
                for schedule in (None, "paper", "auto"):
                    desk.guard(opened, ORGANISM, schedule)
        except BaseException as error:
            failures.append(error)

    forgetting = threading.Thread(target=forget, daemon=True)
    making = [threading.Thread(target=guards, daemon=True) for _ in range(3)]
    for thread in (forgetting, *making):
        thread.start()
    for thread in making:
        thread.join(60)
    stop.set()
    forgetting.join(20)
    assert failures == []


def test_a_pack_of_another_model_is_refused(make: Callable[..., Desk], stranger_folder: Path) -> None:
    desk = make(opens=lambda name: models.load(stranger_folder))
    with pytest.raises(PackMismatchError):
        desk.guard(desk.open(ORGANISM), ORGANISM)


def test_a_pack_that_is_not_there_is_one_sentence(make: Callable[..., Desk], organism: Subject) -> None:
    desk = make()
    desk.shelf.save(organism.vectors, "other", "")
    with pytest.raises(PackNotFoundError, match="mine"):
        desk.guard(desk.open(ORGANISM), f"{HERE}mine@v1")


def test_what_is_required_of_signatures_holds_for_every_pack(make: Callable[..., Desk], organism: Subject) -> None:
    desk = make(require_signature=True)
    desk.shelf.save(organism.vectors, "mine", "")
    with pytest.raises(RasExtError, match=r"sign|key"):
        desk.guard(desk.open(ORGANISM), f"{HERE}mine@v1")
