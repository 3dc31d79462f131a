"""Where the requests come from that a pack is tuned on: the organism's own, the studio's examples, or what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ras_ext.errors import InputError
from ras_ext.evaluation.report import Report
from ras_ext.evaluation.saved import load
from ras_ext.items import Item, load_items
from ras_ext.studio.sent_items import without
from ras_ext.studio.studio import Studio

ORGANISM = "builtin:organism"
BUILT_IN, EXAMPLES, SENT, KEPT_RUN, SENT_RUN = "built-in", "examples", "sent", "kept run", "sent run"
_SPLIT = "calibration"  # on the evaluation split, tuning would spoil what is to judge the outcome


def sources(studio: Studio, model: str) -> list[tuple[str, str]]:
    """What a model's pack can be tuned on: (what the page calls it, its name)."""
    found = []
    if model == ORGANISM:
        found.append(("The organism's calibration set, answered here", BUILT_IN))
    elif studio.examples:
        found.append((f"The {len(studio.examples)} examples of this studio, answered here", EXAMPLES))
    return [
        *found,
        ("A set of mine, answered here", SENT),
        ("A run that is kept here", KEPT_RUN),
        ("A run of mine", SENT_RUN),
    ]


def built_in(studio: Studio, count: int) -> list[Item]:
    """Requests of the organism's calibration split; they lie in the studio's folder, where a kept run finds them."""
    from ras_ext.organism.queries import write_set

    return load_items(write_set(_SPLIT, studio.shelf.folder / "sets" / f"organism-{_SPLIT}-{count}", count=count))


def built_in_name(count: int) -> str:
    """What it is called."""
    return f"{count} requests of the organism's {_SPLIT} split"


def kept_run(studio: Studio, name: str) -> Report:
    """A run of the shelf.

    Raises:
        InputError: there is no such run, or it cannot be read.
    """
    if name not in studio.shelf.runs():
        raise InputError(f"no run {name!r} is kept here; choose another")
    path: Path = studio.shelf.run(name)
    try:
        return load(path, partial=True)
    except InputError as error:
        raise without(path.parent, error) from None


def said(items: Sequence[Item]) -> str:
    """A set in one sentence."""
    unsafe = sum(item.label == "unsafe" for item in items)
    pictures = sum(item.image is not None for item in items)
    return f"{len(items)} requests: {unsafe} unsafe, {len(items) - unsafe} safe, {pictures} with a picture"
