"""Risk-adaptive steering, with the paper's schedule (``ras``) or the one calibration chose (``ras_auto``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ras_ext.conversation import Request
from ras_ext.guard import Guard, GuardedAnswer
from ras_ext.vectors import SteeringVectors


class RAS:
    """A guard under the interface of a defence."""

    def __init__(
        self, model: Any, processor: Any, vectors: SteeringVectors, *, schedule: str = "paper", name: str = "ras"
    ) -> None:
        self.name = name
        self.guard = Guard(model, processor, vectors, schedule=schedule)

    def answer(self, requests: Sequence[Request], *, max_new_tokens: int, **settings: Any) -> list[GuardedAnswer]:
        return self.guard.generate_batch(requests, max_new_tokens=max_new_tokens, **settings)
