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
    """Everything a plan may ask for, under the plans' names."""
    sizes, element = dict(case.sizes), case.dtype.itemsize
    known = {
        "steer_": {"x_bytes": element, "prototype_bytes": element},
        "add_rms_norm_steer_": {
            "rows": sizes["batch"],
            "out_bytes": element,
            "x_bytes": element,
            "residual_bytes": element,
            "weight_bytes": element,
            "prototype_bytes": element,
        },
        "risk_score": {"steps": STEPS, "logits_bytes": element},
        "region_risk": {"regions": sizes.get("n_regions", 0), "hidden_bytes": element, "center_bytes": 4},
        "attention_peak_": {"q_bytes": element, "k_bytes": element, "lse_bytes": 0},
    }
    return {**sizes, **known[case.op]}
