"""What each request of the engine asks of the defence: ``SamplingParams.extra_args["ras"]``.

Ids and one number, never lists of numbers: they are decoded anew for every request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY = "ras"
STEER, JUDGE, PASS = "steer", "judge", "pass"


@dataclass(frozen=True)
class Order:
    """``steer`` an answer by `dose`, ``judge`` a reformulated request, or ``pass``: leave what is written as it is.

    ``dose`` multiplies the schedule of the pack; it is the risk where nobody asked for another strength.
    """

    do: str
    pack: str | None = None
    dose: float = 0.0

    def to_args(self) -> dict[str, Any]:
        """As it stands in ``extra_args``."""
        found: dict[str, Any] = {"do": self.do}
        if self.pack is not None:
            found["pack"] = self.pack
        if self.do == STEER:
            found["dose"] = self.dose
        return {KEY: found}

    @classmethod
    def of(cls, extra_args: Mapping[str, Any] | None) -> Order | None:
        """The order in the `extra_args` of a request, or None. Raises ValueError for one that cannot be carried out."""
        given = (extra_args or {}).get(KEY)
        if given is None:
            return None
        if not isinstance(given, Mapping) or given.get("do") not in (STEER, JUDGE, PASS):
            raise ValueError(f"{KEY} must be an object whose 'do' is steer, judge or pass, got {str(given)[:120]}")
        do, pack, dose = given["do"], given.get("pack"), given.get("dose", 0.0)
        if do != PASS and not isinstance(pack, str):
            raise ValueError(f"{KEY} with 'do': {do!r} must name a 'pack', got {pack!r}")
        number = isinstance(dose, (int, float)) and not isinstance(dose, bool) and math.isfinite(dose)
        if not number or not 0.0 <= dose <= 1.0:
            raise ValueError(f"the dose of a request must be a number from 0 to 1, got {dose!r}")
        if do == STEER and "dose" not in given:
            raise ValueError(f"{KEY} with 'do': 'steer' must give a 'dose'")
        unknown = sorted(set(given) - {"do", "pack", "dose"})
        if unknown:
            raise ValueError(f"{KEY} has no field {unknown[0]!r}; its fields are do, pack and dose")
        return cls(do, pack, float(dose))
