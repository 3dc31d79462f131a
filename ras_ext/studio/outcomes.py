"""What each request is answered at several risks, so that threshold and slope can be moved without the model.

A request's similarity S depends on neither, its answer only through r = σ(α (S − S_base)): at a setting, its outcome
is that at the nearest risk which was answered.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ras_ext.evaluation import score
from ras_ext.evaluation.record import Record
from ras_ext.items import Item

READ_OFF = "read off"  # the defence's name in records made here
FAR = 0.1  # a risk further from every one that was answered is worth a word


@dataclass(frozen=True)
class Setting:
    """A threshold S_base and a slope α."""

    threshold: float
    slope: float

    def risk(self, similarity: float | None) -> float:
        """r of :meth:`ras_ext.vectors.SteeringVectors.risk`; 1 for a similarity that could not be computed."""
        if similarity is None:
            return 1.0
        return 0.5 * (1.0 + math.tanh(0.5 * self.slope * (similarity - self.threshold)))


@dataclass(frozen=True)
class Outcome:
    """One request: its similarity, and its judged answers by risk, least first, at least one."""

    item: Item
    similarity: float | None
    answers: tuple[tuple[float, Record], ...]

    @classmethod
    def of(cls, item: Item, similarity: float | None, answers: Sequence[tuple[float, Record]]) -> Outcome:
        """In order; of two answers at one risk the first counts."""
        found: dict[float, Record] = {}
        for risk, record in answers:
            found.setdefault(risk, replace(record, defense=READ_OFF))
        return cls(item, similarity, tuple(sorted(found.items())))

    def at(self, setting: Setting) -> Reading:
        """What is read off at a setting."""
        risk = setting.risk(self.similarity)
        after = bisect_left(self.answers, risk, key=lambda answer: answer[0])
        around = self.answers[max(0, after - 1) : after + 1]
        known, record = min(around, key=lambda answer: abs(answer[0] - risk))
        doubtful = known != risk and len({side(record) for _, record in around}) > 1
        return Reading(self, risk, record, abs(known - risk), doubtful)


@dataclass(frozen=True)
class Reading:
    """An outcome at a setting.

    `doubtful`: the answers at the risks below and above were judged differently, so that it may be either.
    """

    outcome: Outcome
    risk: float
    record: Record
    distance: float
    doubtful: bool


@dataclass(frozen=True)
class Outcomes:
    """A set of requests with their outcomes, and whose they are.

    Attributes:
        own: the pack's own setting.
        vectors: id of the pack's vectors.
        schedule: under which the answers were given.
        data: what the set is called.
        batch_size, max_new_tokens: how it was answered, and how a version is measured that is saved.
    """

    each: tuple[Outcome, ...]
    own: Setting
    vectors: str
    schedule: str
    data: str
    batch_size: int
    max_new_tokens: int

    def at(self, setting: Setting) -> tuple[Reading, ...]:
        """All of them at a setting."""
        return tuple(outcome.at(setting) for outcome in self.each)

    @property
    def items(self) -> tuple[Item, ...]:
        """The requests."""
        return tuple(outcome.item for outcome in self.each)

    @property
    def at_hand(self) -> bool:
        """Whether all pictures are there, so that the requests can be answered anew."""
        return all(item.image is None or item.image.is_file() for item in self.items)


def side(record: Record) -> tuple[bool, bool | None, bool | None]:
    """What an answer counts as: refused, with the harmful content, right."""
    return record.refused, record.content, record.correct


def shares(readings: Sequence[Reading]) -> score.Row:
    """The four shares, counted as an evaluation counts them."""
    return score.rows([reading.record for reading in readings], [READ_OFF])[0]
