"""``attention_risk_pool``: the peak attention of one layer, pooled with the risk of the visual tokens."""

from __future__ import annotations

import ops_cases as cases
import torch
from ops_cases import ints

from ras_ext import ops, reference


def _arguments(dtype, device):
    looks = cases.attention(dtype=dtype, device=device)
    pools = cases.regions(tokens=5, hidden=24, n_regions=3, dtype=dtype, device=device)
    pools["region"] = torch.tensor([[0, 0, 1, 2, -1], [2, 1, 1, 0, 0]], dtype=torch.int32, device=device)
    looks["visual"][0, 4] = -1
    shared = {name: looks[name] for name in ("q", "k", "heads", "text_rows", "visual", "causal_offset")}
    return shared | {name: v for name, v in pools.items() if name != "attention"}


def test_it_is_the_two_operators_one_after_the_other(device, dtype):
    case = _arguments(dtype, device)
    attention, mass, risk, pooled = ops.attention_risk_pool(**case)
    wanted = torch.zeros(2, 5, device=device)
    ops.attention_peak_(
        wanted,
        case["q"],
        case["k"],
        None,
        case["heads"],
        case["text_rows"],
        case["visual"],
        None,
        24**-0.5,
        1 / 3,
        case["causal_offset"],
    )
    pools = {name: case[name] for name in ("hidden", "direction", "center", "slope", "bias", "region", "n_regions")}
    for got, other in zip((mass, risk, pooled), ops.region_risk(wanted, **pools), strict=True):
        assert torch.equal(got, other)
    assert torch.equal(attention, wanted)
    assert not torch.equal(attention, ops.attention_risk_pool(**{**case, "scale": 1.0})[0])


def test_the_attention_is_a_mean_over_heads_and_its_mass_is_kept(device):
    case = _arguments(torch.float32, device)
    attention, mass, risk, pooled = ops.attention_risk_pool(**case)
    assert ((attention >= 0) & (attention <= 1)).all()
    assert torch.allclose(mass.sum(1), torch.where(case["region"] >= 0, attention, 0.0).sum(1), rtol=1e-5)
    assert torch.allclose((mass * risk).sum(1) / mass.sum(1), pooled, rtol=1e-5)
    again = ops.attention_risk_pool(**{**case, "heads": case["heads"].repeat(2)})[0]
    assert torch.allclose(attention, again, rtol=1e-5)


def test_a_token_that_nobody_looks_at_adds_nothing(device):
    case = _arguments(torch.float32, device)
    case["visual"][1] = ints(0, 1, 2, 3, -1, device=device)
    before = ops.attention_risk_pool(**case)
    case["hidden"][1, 4] = torch.nan
    after = ops.attention_risk_pool(**case)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
    case["hidden"][1, 0] = torch.nan
    assert not torch.equal(ops.attention_risk_pool(**case)[3], after[3])


def test_no_heads_is_no_attention_and_no_risk(device):
    case = _arguments(torch.float32, device)
    attention, *pooled = ops.attention_risk_pool(**{**case, "heads": case["heads"][:0]})
    assert not attention.any()
    assert not any(t.any() for t in pooled)


def test_it_is_near_the_float64_result(device):
    case = _arguments(torch.float32, device)
    exact = cases.exact(case)
    attention = torch.zeros(2, 5, dtype=torch.float64, device=device)
    looks = [exact[name] for name in ("heads", "text_rows", "visual")]
    reference.attention_peak_(attention, exact["q"], exact["k"], None, *looks, None, 24**-0.5, 1 / 3, 12)
    pools = {name: exact[name] for name in ("hidden", "direction", "center", "slope", "bias", "region", "n_regions")}
    wanted = attention, *reference.region_risk(attention, **pools)
    for got, other in zip(ops.attention_risk_pool(**case), wanted, strict=True):
        assert torch.allclose(got.double(), other, rtol=1e-5, atol=0)
        assert not torch.allclose(got.double() * 1.001, other, rtol=1e-5, atol=0)
