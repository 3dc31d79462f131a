"""Packs with numbers of the tests' own, as workers hold them, and a worker's table of such packs."""

from __future__ import annotations

import torch

from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.table import Table

VOCABULARY, HIDDEN = 11, 4
HEAD = torch.randn(VOCABULARY, HIDDEN, generator=torch.Generator().manual_seed(1))


def packed(
    key: str, doses: tuple[float, ...], *, n_score: int = 3, gamma: float = 0.3, ends: tuple[int, ...] = (10,)
) -> Packed:
    """Its numbers follow from its name."""
    random = torch.Generator().manual_seed(sum(map(ord, key)))
    return Packed(
        key=key,
        prototypes=torch.randn(len(doses), HIDDEN, generator=random),
        mixture=torch.rand(VOCABULARY, generator=random),
        doses=doses,
        n_score=n_score,
        gamma=gamma,
        alpha=20.0,
        s_base=0.6,
        ends=ends,
    )


def head(states: torch.Tensor) -> torch.Tensor:
    """A linear head without a cap."""
    return states.float() @ HEAD.T


def table(*packs: Packed, carrier: str = "logits") -> Table:
    """On the CPU in f32."""
    found = Table(torch.device("cpu"))
    for pack in packs:
        found.add(pack.to_bytes(), head, torch.float32, carrier)
    return found
