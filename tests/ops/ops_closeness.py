"""How near is near enough: no further from the float64 result than twice the plain-torch result, plus a few roundings.

Everything is measured relative to the exact value or to a `scale` of the same shape (the size of the terms a sum is
made of), never by an absolute tolerance alone: a mean probability of 6e-5 would hide behind one.
"""

from __future__ import annotations

import torch
from torch import Tensor


def assert_near(got: Tensor, exact: Tensor, composed: Tensor, *, scale: Tensor | None = None) -> None:
    """Asserts that `got` is as near to `exact` (float64) as `composed` is, and not finite exactly where it is not."""
    # The operators round a result to float16 or bfloat16 once; in float32 every step of the sum rounds.
    roundings = 4 if got.dtype == torch.float32 else 1
    assert got.shape == exact.shape, f"shape {tuple(got.shape)}, wanted {tuple(exact.shape)}"
    finite = exact.isfinite()
    assert torch.equal(got.isnan(), exact.isnan()), "NaN in other places than in the exact result"
    infinite = exact.isinf()
    assert torch.equal(got[infinite].double(), exact[infinite]), "other infinities than in the exact result"
    unit = (exact if scale is None else scale).abs()[finite]
    wrong = (got.double()[finite] - exact[finite]).abs()
    allowed = (composed.double()[finite] - exact[finite]).abs()
    share = torch.where(unit > 0, allowed / unit, 0.0).max() if unit.numel() else torch.zeros(())
    bound = (2 * share + roundings * torch.finfo(got.dtype).eps) * unit
    worst = (wrong - bound).max() if wrong.numel() else torch.zeros(())
    assert not (wrong > bound).any(), f"off by up to {wrong.max():.3g}, {worst:.3g} more than allowed"
