"""Answers a set of requests at several risks: each is judged once, and asked more closely where its answer turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ras_ext.batches import parts_of
from ras_ext.errors import InputError
from ras_ext.evaluation.record import Record, judged
from ras_ext.generation import Answer, answer
from ras_ext.guard import Guard
from ras_ext.items import Item
from ras_ext.studio.outcomes import READ_OFF, Outcome, Outcomes, Setting, side

START = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # no risk is further than 0.1 from one of them
CLOSEST = 0.025  # two risks nearer than that are not parted any more
BATCH = 16  # others wait for one batch at most
MOST = 1000

Progress = Callable[[str, int, int], None]


def measure(
    guard: Guard, items: Sequence[Item], *, data: str, max_new_tokens: int = 64, progress: Progress | None = None
) -> Outcomes:
    """Stages 1 and 2 of every request, then its answers at risks from 0 to 1.

    Between two risks whose answers are judged differently the one in the middle is asked too, down to ``CLOSEST``.

    Args:
        progress: called between batches, where the model is as it was, with what is done, how much of it, of how much.

    Raises:
        InputError: there are no items, or too many.
    """
    if not 0 < len(items) <= MOST:
        raise InputError(f"a set to tune on has 1 to {MOST} requests, got {len(items)}; send a smaller one")
    tell = progress or (lambda what, done, total: None)
    similarities: list[float] = []
    tell("Requests judged", 0, len(items))
    for batch in _batches(items):
        similarities += [found.similarity for found in guard.assess_batch([item.request() for item in batch])]
        tell("Requests judged", len(similarities), len(items))
    known: list[dict[float, Record]] = [{} for _ in items]
    wanted = [(row, risk) for row in range(len(items)) for risk in START]
    while wanted:
        closest = min((abs(risk - other) for row, risk in wanted for other in known[row]), default=START[1])
        what = f"Answers at risks {closest:.2g} apart"
        for done in range(0, len(wanted), BATCH):
            asked = wanted[done : done + BATCH]
            chosen = [items[row] for row, _ in asked]
            for (row, risk), record in zip(asked, _judged(guard, chosen, asked, max_new_tokens), strict=True):
                known[row][risk] = record
            tell(what, done + len(asked), len(wanted))
        wanted = [(row, risk) for row, answers in enumerate(known) for risk in _between(answers)]
    rows = zip(items, similarities, known, strict=True)
    vectors = guard.vectors
    return Outcomes(
        tuple(Outcome.of(item, _finite(similarity), list(answers.items())) for item, similarity, answers in rows),
        Setting(vectors.s_base, vectors.alpha),
        vectors.id,
        vectors.schedule,
        data,
        BATCH,
        max_new_tokens,
    )


def _judged(
    guard: Guard, items: Sequence[Item], asked: Sequence[tuple[int, float]], max_new_tokens: int
) -> list[Record]:
    began = time.perf_counter()
    answers = answers_at(guard, items, [risk for _, risk in asked], max_new_tokens)
    share = (time.perf_counter() - began) / len(items)
    return [judged(item, READ_OFF, said, share) for item, said in zip(items, answers, strict=True)]


def answers_at(guard: Guard, items: Sequence[Item], risks: Sequence[float], max_new_tokens: int) -> list[Answer]:
    """Stage 3 alone: greedy answers, each steered by a risk of its own."""
    requests = [item.request() for item in items]
    found: dict[int, Answer] = {}
    settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False, "num_beams": 1}
    for rows in parts_of(guard.parts.family, requests):
        with guard.steering([risks[row] for row in rows]):
            said = answer(guard.model, guard.processor, [requests[row] for row in rows], **settings)
        found.update(zip(rows, said, strict=True))
    return [found[row] for row in range(len(items))]


def _between(answers: dict[float, Record]) -> Iterator[float]:
    for low, high in pairwise(sorted(answers)):
        if high - low > CLOSEST * 1.001 and side(answers[low]) != side(answers[high]):
            yield (low + high) / 2


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None  # of NaN too
