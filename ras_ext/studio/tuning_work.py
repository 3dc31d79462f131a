"""The long work of the Tune tab, as functions that :class:`ras_ext.studio.work.Work` runs: answering, and saving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ras_ext.errors import InputError
from ras_ext.evaluation.report import Report
from ras_ext.items import Item
from ras_ext.studio import tuning_sets
from ras_ext.studio.answering import measure
from ras_ext.studio.outcomes import Outcomes, Setting
from ras_ext.studio.remarks import note, progress
from ras_ext.studio.run_outcomes import outcomes_of
from ras_ext.studio.studio import Studio
from ras_ext.studio.tuned_pack import measure_and_save
from ras_ext.studio.tuning_sets import BUILT_IN, EXAMPLES, KEPT_RUN, SENT_RUN
from ras_ext.studio.tuning_view import setting_said

THRESHOLD_STEP, SLOPE_STEP = 0.005, 0.1  # of the sliders
Tell = Callable[["Told"], None]


@dataclass(frozen=True)
class Loaded:
    """What a visitor tunes: a model's pack on outcomes."""

    model: str
    pack: str
    outcomes: Outcomes

    def chosen(self, threshold: float, slope: float) -> Setting:
        """The setting of the sliders; the pack's own number where a slider stands on it, as near as its steps go."""
        own = self.outcomes.own
        return Setting(
            own.threshold if abs(threshold - own.threshold) <= THRESHOLD_STEP / 2 else threshold,
            own.slope if abs(slope - own.slope) <= SLOPE_STEP / 2 else slope,
        )


@dataclass(frozen=True)
class Told:
    """How far a long work is: words and figures, and in the end what it made."""

    what: str = "Waiting for the model"
    done: int = 0
    total: int = 0
    made: Any = None

    def html(self) -> str:
        return progress(self.what, self.done, self.total) if self.total else note(f"{self.what}…")


def answering(
    studio: Studio,
    model: str,
    pack: str,
    where: str,
    count: int,
    own: list[Item] | None,
    kept: str | None,
    sent: Report | None,
) -> Callable[[Tell], None]:
    """From a source of requests to outcomes."""

    def function(tell: Tell) -> None:
        tell(Told("Opening the model"))
        opened = studio.desk.open(model)
        guard = studio.desk.guard(opened, pack)
        if where in (KEPT_RUN, SENT_RUN):
            if where == KEPT_RUN and not kept:
                raise InputError("no run was chosen; choose one that is kept here, or answer a set first")
            if where == SENT_RUN and sent is None:
                raise InputError("no run was sent; send items.jsonl and items.run.json")
            run = tuning_sets.kept_run(studio, str(kept)) if where == KEPT_RUN else sent
            assert run is not None
            tell(Told(made=outcomes_of(run, guard.vectors)))
            return
        items, data = _items(studio, where, count, own)
        tell(Told())

        def far(what: str, done: int, total: int) -> None:
            tell(Told(what, done, total))
            opened.turns.give_way()

        with opened.turns:
            outcomes = measure(guard, items, data=data, progress=far)
        tell(Told(made=outcomes))

    return function


def _items(studio: Studio, where: str, count: int, own: list[Item] | None) -> tuple[list[Item], str]:
    if where == BUILT_IN:
        return tuning_sets.built_in(studio, count), tuning_sets.built_in_name(count)
    if where == EXAMPLES:
        return list(studio.examples), "the studio's examples"
    if own is None:
        raise InputError("no set was sent; send a .jsonl file with its pictures")
    return own, f"{len(own)} requests that were sent"


def saving(studio: Studio, one: Loaded, setting: Setting, name: str, message: str) -> Callable[[Tell], None]:
    """From a setting to a measured pack on the shelf."""

    def function(tell: Tell) -> None:
        tell(Told())
        opened = studio.desk.open(one.model)
        vectors = studio.desk.guard(opened, one.pack).vectors

        def far(what: str, done: int, total: int) -> None:
            tell(Told(what.capitalize(), done, total))
            opened.turns.give_way()

        with opened.turns:
            made = measure_and_save(
                opened.model,
                opened.processor,
                vectors,
                one.outcomes,
                setting,
                shelf=studio.shelf,
                name=name,
                message=message or f"Tuned in the studio: {setting_said(setting)}",
                model_name=one.model,
                progress=far,
            )
        studio.desk.forget_guards()
        tell(Told(made=made))

    return function
