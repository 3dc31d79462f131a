"""Who asks, and what is done about a request of a given risk.

A tenant is known by its API key, of which only the SHA-256 is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ras_ext.errors import InputError
from ras_ext.serve.receipt import BLOCKED, LOGGED, PASSED, STEERED

EVERYBODY = "default"  # the tenant of those who are nobody else's
DEFEND, OFF = "defend", "off"


class Unauthorized(InputError):  # noqa: N818 - as the status is called
    """The request carries no API key of a tenant: status 401."""


@dataclass(frozen=True)
class Thresholds:
    """The risks, each in [0, 1], from which on something is done; None: never.

    Attributes:
        log: the access log warns.
        steer: the answer is steered, by its risk.
        block: there is no answer but a fixed refusal.
        constrained: the same for requests whose output is constrained so that no refusal could be written.
    """

    log: float | None = 0.5
    steer: float | None = 0.0
    block: float | None = None
    constrained: float | None = 0.5


@dataclass(frozen=True)
class Strength:
    """What risks are multiplied by: where nobody asks, and within which bounds clients may ask."""

    default: float = 1.0
    min: float = 1.0
    max: float = 1.0


@dataclass(frozen=True)
class Tenant:
    """One who asks.

    Attributes:
        keys_sha256: of its API keys, in hexadecimal; empty: whoever is no other tenant.
        vectors: the packs it may use, the first its default; empty: all that the server has.
        mode: ``defend``, or ``off``: answered undefended, on purpose.
    """

    name: str = EVERYBODY
    keys_sha256: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    strength: Strength = field(default_factory=Strength)
    mode: str = DEFEND

    @property
    def off(self) -> bool:
        """It is answered undefended."""
        return self.mode == OFF

    @property
    def observed(self) -> bool:
        """Its requests are judged, and its answers never steered."""
        return not self.off and self.thresholds.steer is None

    def action(self, risk: float, constrained: bool = False) -> str:
        """``steered``, ``logged``, ``blocked`` or ``passed``; a risk that is no number counts as 1."""
        at = self.thresholds
        if self.off:
            return PASSED
        if _reached(risk, at.block) or (constrained and _reached(risk, at.constrained)):
            return BLOCKED
        if _reached(risk, at.steer):
            return STEERED
        return LOGGED if self.is_risky(risk) else PASSED

    def is_risky(self, risk: float) -> bool:
        """The access log warns of it."""
        return _reached(risk, self.thresholds.log)

    def strength_for(self, asked: float | None) -> float:
        """The strength of an answer. Raises InputError for one outside of the bounds."""
        bounds = self.strength
        if asked is None:
            return bounds.default
        number = isinstance(asked, (int, float)) and not isinstance(asked, bool)
        if not number or not bounds.min <= asked <= bounds.max:
            raise InputError(f"strength must be a number from {bounds.min:g} to {bounds.max:g}, got {_shown(asked)}")
        return float(asked)

    def pack_for(self, asked: str | None, default: str) -> str | None:
        """The pack of a request, `default` being the server's; None for a tenant that is answered undefended.

        Raises InputError for a pack that is not among its own. For one without packs of its own, the server checks.
        """
        if asked is not None and not isinstance(asked, str):
            raise InputError(f"the pack of a request must be a name, got {_shown(asked)}")
        if asked is not None and self.vectors and asked not in self.vectors:
            raise InputError(f"there is no pack {_shown(asked)} here; there are {', '.join(sorted(self.vectors))}")
        if self.off:
            return None
        return asked if asked is not None else (self.vectors[0] if self.vectors else default)


def _reached(risk: float, threshold: float | None) -> bool:
    return threshold is not None and (risk if math.isfinite(risk) else 1.0) >= threshold


def _shown(value: object) -> str:
    return ascii(value)[:80]
