"""Calibrates a model of the desk while others go on using it, and tells how far it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ras_ext.errors import InputError
from ras_ext.items import Item, load_items
from ras_ext.progress_titles import title_of
from ras_ext.prompts import Prompts
from ras_ext.registry.address import NAME
from ras_ext.registry.schema import LICENSE_LIMIT, LICENSE_RULE, is_license
from ras_ext.studio.desk import Desk
from ras_ext.vectors import SteeringVectors

ORGANISM = "builtin:organism"
SCHEDULES = ("auto", "paper")
_ORGANISM_ANSWER = 32  # tokens; its longest answers have fewer
_ANSWER = 64


@dataclass(frozen=True)
class Queries:
    """What is calibrated on; ``None`` takes what :func:`ras_ext.calibrate` takes without."""

    unsafe: Sequence[str] | None = None
    safe: Sequence[str] | None = None
    images: Sequence[Item] | None = None
    prompts: Prompts | None = None


@dataclass(frozen=True)
class Order:
    """One calibration, as it was asked for. `name` is what the pack is to be saved as."""

    model: str
    name: str
    schedule: str = "auto"
    license: str | None = None
    queries: Queries = field(default_factory=Queries)
    regions: bool = True


@dataclass(frozen=True)
class Stage:
    """How far one stage is."""

    name: str
    done: int
    total: int

    @property
    def title(self) -> str:
        """The stage in words."""
        return title_of(self.name)


@dataclass(frozen=True)
class Told:
    """How far the calibration is: its stages so far, the last of them going on; `vectors` once it is done."""

    stages: tuple[Stage, ...] = ()
    vectors: SteeringVectors | None = None


def check(order: Order, models: Sequence[str]) -> None:
    """Raises InputError for an order that could not be carried out or saved, before any work is done."""
    if order.model not in models:
        raise InputError(f"there is no model {order.model!r} in this studio; it has {', '.join(models)}")
    if order.schedule not in SCHEDULES:
        raise InputError(f"{order.schedule!r} is no schedule; choose auto or paper")
    if not NAME.fullmatch(order.name) or "--" in order.name or ".." in order.name:
        raise InputError(
            f"a pack cannot be called {order.name[:120]!r}; give one or two parts of letters, digits, '.', '_' "
            "and '-', such as mine or team/mine"
        )
    if order.license is not None and not is_license(order.license):
        raise InputError(
            f"{order.license[:80]!r} is no licence; give {LICENSE_RULE} of at most {LICENSE_LIMIT} characters, "
            "or leave it empty"
        )


def organism_queries(folder: Path) -> Queries:
    """The organism's own calibration set, its pictures written into `folder`: its world knows no other words."""
    from ras_ext.organism import queries

    return Queries(
        queries.text_queries("calibration", "unsafe"),
        queries.text_queries("calibration", "safe"),
        load_items(queries.write_set("calibration", folder, count=120)),
        queries.PROMPTS,
    )


def prompts_for(model: str) -> Prompts | None:
    """The prompts that a model is calibrated with where nobody gives others."""
    if model != ORGANISM:
        return None
    from ras_ext.organism.queries import PROMPTS

    return PROMPTS


def run(desk: Desk, order: Order, tell: Callable[[Told], None]) -> None:
    """Calibrates, giving way to others after every batch.

    Raises:
        InputError: the order cannot be carried out.
        CalibrationError, ModelError: as :func:`ras_ext.calibrate`.
    """
    import ras_ext

    check(order, desk.names)
    opened = desk.open(order.model)
    stages: dict[str, Stage] = {}

    def reached(stage: str, done: int, total: int) -> None:
        stages[stage] = Stage(stage, done, total)
        tell(Told(tuple(stages.values())))
        opened.turns.give_way()

    with opened.turns:
        vectors = ras_ext.calibrate(
            opened.model,
            opened.processor,
            unsafe=order.queries.unsafe,
            safe=order.queries.safe,
            images=order.queries.images,
            prompts=order.queries.prompts or prompts_for(order.model),
            schedule=order.schedule,
            max_new_tokens=_ORGANISM_ANSWER if order.model == ORGANISM else _ANSWER,
            progress=reached,
            name=order.name.rpartition("/")[2],
            base_model=_public(order.model),
            license=order.license,
            regions=order.regions,
        )
    tell(Told(tuple(stages.values()), vectors))


def suggested_name(model: str) -> str:
    """A name for a pack of that model."""
    last = re.split(r"[/\\:]", model.rstrip("/\\"))[-1]
    kept = re.sub(r"-{2,}|\.{2,}", "-", re.sub(r"[^A-Za-z0-9._-]+", "-", last)).strip("._-")[:80]
    return f"{kept or 'model'}-studio"


def _public(model: str) -> str | None:
    """What a pack calls its base model, never a path of this machine; None keeps a Hub id with its revision."""
    if model.startswith("builtin:"):
        return model
    return Path(model).resolve().name if Path(model).is_dir() else None
