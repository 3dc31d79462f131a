"""How much of the risk is applied at each steered token of the answer.

Token n (from 1) moves x̃^n = x^n + dose_n · r · (μ^n − x^n); the paper's schedule is three tokens at dose 1
(arXiv 2510.13698), longer decaying ones keep a model from answering after its apology.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ras_ext.errors import PackError


@dataclass(frozen=True)
class Schedule:
    """``doses[n]`` in [0, 1] multiplies the risk at steered token n; their number is ``n_tokens``. Raises PackError."""

    n_tokens: int
    doses: tuple[float, ...]

    def __post_init__(self) -> None:
        doses = tuple(float(dose) for dose in self.doses)
        if self.n_tokens < 1 or len(doses) != self.n_tokens:
            raise PackError(f"a schedule needs one dose per token, got: {len(doses)} doses for {self.n_tokens} tokens")
        wrong = [dose for dose in doses if not (math.isfinite(dose) and 0.0 <= dose <= 1.0)]
        if wrong:
            raise PackError(f"a schedule's doses must lie from 0 to 1, got: {wrong[0]}; scale them down")
        object.__setattr__(self, "doses", doses)

    @classmethod
    def paper(cls) -> Schedule:
        """Three tokens at full dose."""
        return cls(3, (1.0, 1.0, 1.0))

    @classmethod
    def decaying(cls, n_tokens: int, hold: int = 3, decay: float = 0.8) -> Schedule:
        """Full dose for the first ``hold`` tokens, then each token ``decay`` (in [0, 1]) times the one before."""
        if hold < 0 or not 0.0 <= decay <= 1.0:
            raise PackError(
                f"a decaying schedule needs hold >= 0 and decay from 0 to 1, got: hold {hold}, decay {decay}"
            )
        return cls(n_tokens, tuple(1.0 if n < hold else decay ** (n - hold + 1) for n in range(n_tokens)))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Schedule:
        """From an entry of ``method.schedules`` in a pack."""
        return cls(value["n_tokens"], tuple(value["doses"]))

    def to_dict(self) -> dict[str, Any]:
        return {"n_tokens": self.n_tokens, "doses": list(self.doses)}
