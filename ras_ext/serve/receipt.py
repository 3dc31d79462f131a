"""What comes with every served answer: what was found, what was done about it, by which vectors."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ras_ext.serve.packs import Held

STEERED, LOGGED, BLOCKED, PASSED = "steered", "logged", "blocked", "passed"


@dataclass(frozen=True)
class Judged:
    """What stages 1 and 2 found about one request.

    Attributes:
        risk: r in [0, 1]; similarity: S, NaN where the logits were not finite (the risk is then 1).
        visual_context: the sentence of stage 1, empty without an image.
        seconds: of each stage, by name (``look``, ``judge``).
        cached: of each stage, how many tokens of its prompt vLLM had in its cache.
    """

    risk: float
    similarity: float
    visual_context: str
    seconds: dict[str, float] = field(default_factory=dict)
    cached: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """The receipt of one answer.

    Attributes:
        action: ``steered``, ``logged`` (found risky and only noted), ``blocked`` (not answered) or ``passed``.
        risk, similarity, visual_context: of :class:`Judged`.
        dose: of each steered token: the schedule's dose times risk times strength.
        pack, revision, schedule, carrier: what it was steered by, and how.
        seconds, cached: by stage (``look``, ``judge``, ``answer``).
    """

    action: str
    risk: float
    similarity: float
    visual_context: str
    dose: tuple[float, ...]
    pack: str
    revision: str | None
    schedule: str
    carrier: str
    seconds: dict[str, float] = field(default_factory=dict)
    cached: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        held: Held,
        judged: Judged,
        *,
        carrier: str,
        action: str = STEERED,
        strength: float = 1.0,
        steps: int | None = None,
    ) -> Receipt:
        """Of an answer by `held` of which `judged` was found; `steps` is its length, where that is known."""
        return cls(
            action=action,
            risk=judged.risk,
            similarity=judged.similarity,
            visual_context=judged.visual_context,
            dose=held.dose(judged.risk, strength)[:steps] if action == STEERED and judged.risk > 0.0 else (),
            pack=held.vectors.id,
            revision=held.revision,
            schedule=held.vectors.schedule,
            carrier=carrier,
            seconds=dict(judged.seconds),
            cached=dict(judged.cached),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, which knows no NaN."""
        found = dataclasses.asdict(self)
        if math.isnan(self.similarity):
            found["similarity"] = None
        return {**found, "dose": list(self.dose)}

    def to_header(self) -> str:
        """In one line for a header: the numbers and names, without what was seen in the image."""
        return (
            f"action={self.action}; risk={self.risk:.4f}; steered={len(self.dose)}; pack={self.pack}; "
            f"revision={self.revision or '-'}; schedule={self.schedule}; carrier={self.carrier}"
        )
