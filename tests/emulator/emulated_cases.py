"""What the emulated kernels' tests share: one call compared with float64, in the operators' own terms."""

from __future__ import annotations

from typing import Any

import emulated
import ops_cases as cases
import torch
from ops_closeness import assert_near
from torch import Tensor

from ras_ext import reference

WRITTEN = {"steer_": ("x",), "add_rms_norm_steer_": ("out", "residual"), "attention_peak_": ("acc",)}


def results(operator: str, returned: Any, case: dict[str, Any]) -> list[Tensor]:
    """What an operator returns and writes, in order."""
    written = [case[name] for name in WRITTEN.get(operator, ()) if case[name] is not None]
    return [*(returned or ()), *written]


def run(operator: str, case: dict[str, Any], **numbers: float) -> list[Tensor]:
    """The emulated kernels on a copy of the case."""
    mine = cases.copied(case)
    return results(operator, emulated.run(operator, mine, **numbers), mine)


def check(operator: str, case: dict[str, Any]) -> list[Tensor]:
    """Asserts that the kernels come as near to the float64 result as plain torch in the same types does."""
    exact, composed = cases.exact(cases.copied(case)), cases.copied(case)
    function = getattr(reference, operator)
    wanted = results(operator, function(**exact), exact)
    plain = results(operator, function(**composed), composed)
    got = run(operator, case)
    for mine, other, torch_s in zip(got, wanted, plain, strict=True):
        assert_near(mine, other, torch_s)
    return got


def differs(got: list[Tensor], other: list[Tensor]) -> bool:
    """Whether any result is off by more than a rounding."""
    pairs = zip(got, other, strict=True)
    return any(not torch.allclose(a.double(), b.double(), rtol=1e-2, equal_nan=True) for a, b in pairs)
