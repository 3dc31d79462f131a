"""How much an operator must move and compute at a shape, read from its launch plan: the same C++ that launches it."""

from __future__ import annotations

from dataclasses import dataclass

from ras_ext import plans
from ras_ext.benchmark.cases import Case
from ras_ext.benchmark.operators import STEPS


@dataclass(frozen=True)
class Traffic:
    """Bytes that must move and operations of one call; ``None`` where there is no plan, and why, in a sentence."""

    bytes: int | None
    flops: int | None
    why: str = ""


def traffic(case: Case) -> Traffic:
    """From `ras_ext.plans`."""
    if why := plans.why_missing():
        return Traffic(None, None, f"bytes are not known: {why}")
    wanted = plans.operators().get(case.op)
    if wanted is None:
        return Traffic(None, None, f"bytes are not known: {case.op} has no launch plan")
    known = plan_sizes(case)
    if unknown := [name for name in wanted if name not in known]:
        return Traffic(None, None, f"bytes are not known: the plan of {case.op} asks for {', '.join(unknown)}")
    plan = plans.plan(case.op, **{name: known[name] for name in wanted})
    return Traffic(plan.bytes, plan.flops)


def plan_sizes(case: Case) -> dict[str, int]:
    """Everything the plan of a case's operator asks for, under the plans' names."""
    sizes, element = dict(case.sizes), case.dtype.itemsize
    more: dict[str, dict[str, int]] = {
        "steer_": {"x_bytes": element, "prototype_bytes": element},
        "add_rms_norm_steer_": {
            "n_rows": sizes["batch"],
            **dict.fromkeys(("x_bytes", "residual_bytes", "out_bytes", "weight_bytes", "prototype_bytes"), element),
        },
        "risk_score": {"steps": STEPS, "logit_bytes": element},
        "region_risk": {"hidden_bytes": element, "has_center": True},
        "attention_peak_": {"n_heads": sizes.get("chosen", 0), "element_bytes": element, "has_lse": False},
    }
    return {**sizes, **more[case.op]}
