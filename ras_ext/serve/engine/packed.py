"""Vectors as they travel to the workers: one safetensors blob a pack, so that no worker needs a Hub or a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ras_ext.vectors import SteeringVectors

_FIELDS = "ras_ext"


@dataclass(frozen=True)
class Packed:
    """What a worker needs of a pack.

    Attributes:
        key: the vectors' id and schedule, such as ``llava-1.5@1a2b3c4d/auto``; requests name it.
        prototypes: ``(N, D)`` f32, one per steered token.
        mixture: ``(V,)`` f32.
        doses: ``N`` numbers in [0, 1].
        n_score, gamma, alpha, s_base: of the score.
        ends: tokens that end an answer.
    """

    key: str
    prototypes: torch.Tensor
    mixture: torch.Tensor
    doses: tuple[float, ...]
    n_score: int
    gamma: float
    alpha: float
    s_base: float
    ends: tuple[int, ...]

    @classmethod
    def of(cls, vectors: SteeringVectors, ends: Sequence[int]) -> Packed:
        doses = vectors.doses
        return cls(
            key=f"{vectors.id}/{vectors.schedule}",
            prototypes=vectors.prototypes[: len(doses)].float().cpu().contiguous(),
            mixture=vectors.prototype_mixture.float().cpu().contiguous(),
            doses=doses,
            n_score=vectors.n_score,
            gamma=vectors.gamma,
            alpha=vectors.alpha,
            s_base=vectors.s_base,
            ends=tuple(ends),
        )

    def to_bytes(self) -> bytes:
        plain = ("key", "doses", "n_score", "gamma", "alpha", "s_base", "ends")
        said = {_FIELDS: json.dumps({name: getattr(self, name) for name in plain})}
        return save({"prototypes": self.prototypes, "mixture": self.mixture}, metadata=said)

    @classmethod
    def from_bytes(cls, data: bytes) -> Packed:
        """Raises ValueError for anything else than :meth:`to_bytes` made."""
        try:
            tensors, said = load(data), _metadata(data)
            fields = json.loads(said[_FIELDS])
            return cls(
                prototypes=tensors["prototypes"],
                mixture=tensors["mixture"],
                **{**fields, "doses": tuple(fields["doses"]), "ends": tuple(fields["ends"])},
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the vectors were damaged on their way to a worker: {error}") from None


def _metadata(data: bytes) -> dict[str, str]:
    """Of a safetensors blob: its header is JSON behind its own length."""
    length = int.from_bytes(data[:8], "little")
    found = json.loads(data[8 : 8 + length]).get("__metadata__")
    return found if isinstance(found, dict) else {}
