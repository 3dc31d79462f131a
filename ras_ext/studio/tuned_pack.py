"""Saves a pack with another threshold and slope, once they were measured: its evidence is an evaluation of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ras_ext.defenses.ras import Guarded
from ras_ext.errors import InputError
from ras_ext.evaluation import evaluate
from ras_ext.evaluation.record import digest_of, digest_of_items
from ras_ext.evaluation.score import Row
from ras_ext.guard import Guard
from ras_ext.registry import Published
from ras_ext.registry.evidence import SIMILARITIES_FILE, encode_similarities, read_similarities, shares_at
from ras_ext.studio.outcomes import Outcomes, Setting, shares
from ras_ext.studio.shelf import Shelf
from ras_ext.vectors import SteeringVectors

Progress = Callable[[str, int, int], None]
# What a calibration says of its own threshold, and does not hold for another one.
_OF_THRESHOLD = ("false_negatives", "false_positives")


@dataclass(frozen=True)
class Tuned:
    """A version that was saved: where, the run it was measured in, and its shares as measured and as read off."""

    published: Published
    vectors: SteeringVectors
    run: str
    measured: Row
    read_off: Row
    undefended: Row


def retuned(vectors: SteeringVectors, setting: Setting, outcomes: Outcomes, name: str) -> SteeringVectors:
    """The same vectors under another threshold and slope, without what was found out under their own.

    Raises PackError for a threshold or slope that cannot be one.
    """
    calibration = {key: value for key, value in vectors.calibration.items() if key not in _OF_THRESHOLD}
    context = calibration.get("context")
    if isinstance(context, Mapping) and "needed" in context:
        calibration["context"] = {"needed": context["needed"]}
    calibration["tuned"] = {"from": outcomes.vectors, "on": outcomes.data, "requests": len(outcomes.each)}
    files = dict(vectors.evidence_files)
    if SIMILARITIES_FILE in files:
        rows = [
            row.under(alpha=setting.slope, s_base=setting.threshold)
            for row in read_similarities(files[SIMILARITIES_FILE])
        ]
        files[SIMILARITIES_FILE] = encode_similarities(rows)
        calibration.update(zip(_OF_THRESHOLD, shares_at(rows, setting.threshold), strict=True))
    return replace(
        vectors,
        name=name.rpartition("/")[2],
        alpha=setting.slope,
        s_base=setting.threshold,
        calibration=calibration,
        evidence={},
        evidence_files=files,
    )


def measure_and_save(
    model: Any,
    processor: Any,
    vectors: SteeringVectors,
    outcomes: Outcomes,
    setting: Setting,
    *,
    shelf: Shelf,
    name: str,
    message: str,
    model_name: str,
    progress: Progress | None = None,
) -> Tuned:
    """Evaluates the vectors at a setting on the requests it was chosen on, against no defence, and keeps both.

    The run stays on the shelf; stopped, it is gone on with when the same is saved again.

    Raises:
        InputError: pictures of the requests are gone, or the name cannot be one.
        PackError: the vectors cannot be under that setting, or not be written.
    """
    shelf.check(name)
    if not outcomes.at_hand:
        raise InputError(
            "the pictures of this set are not here, so that nothing can be measured for the evidence; choose a set "
            "to answer here, or send the run with its pictures"
        )
    tuned = retuned(vectors, setting, outcomes, name)
    guard = Guard(model, processor, tuned, schedule=outcomes.schedule)
    defence = Guarded(guard)
    items = list(outcomes.items)
    sizes = {"batch_size": outcomes.batch_size, "max_new_tokens": outcomes.max_new_tokens}
    what = [tuned.content_sha256, outcomes.schedule, digest_of_items(items), sizes]
    run = f"{name.replace('/', '-')[:80]}-{digest_of(what)[:8]}"
    report = evaluate(
        defence,
        items,
        progress=progress,
        out=shelf.run(run),
        model_name=model_name,
        data_name=outcomes.data,
        batch_size=outcomes.batch_size,
        max_new_tokens=outcomes.max_new_tokens,
    )
    evidenced = tuned.with_evidence(report.to_dict(), data=outcomes.data)
    published = shelf.save(evidenced, name, message)
    return Tuned(published, evidenced, run, report.row(defence.name), shares(outcomes.at(setting)), report.row("none"))
