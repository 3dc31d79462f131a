"""``region_risk`` as its CUDA kernels compute it."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from emulated_cases import check, differs, run


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("tokens", "hidden", "n_regions"), [(1, 1, 1), (37, 129, 5), (40, 256, 11), (33, 520, 3)])
def test_it_is_near_float64(dtype, tokens, hidden, n_regions, center):
    case = cases.regions(tokens=tokens, hidden=hidden, n_regions=n_regions, dtype=dtype, center=center)
    got = check("region_risk", case)
    if tokens > 1:
        case["hidden"][..., : hidden // 2] = 0
        assert differs(got, run("region_risk", case))


def test_masses_add_up_and_the_pooled_risk_is_their_mean():
    case = cases.regions()
    mass, risk, pooled = run("region_risk", case)
    kept = torch.where(case["region"] >= 0, case["attention"], 0.0).sum(1)
    assert torch.allclose(mass.sum(1), kept, rtol=1e-6)
    assert torch.allclose((mass * risk).sum(1) / mass.sum(1), pooled, rtol=1e-5)


def test_a_region_behind_the_last_is_left_out():
    case = cases.regions()
    case["region"][0, 3] = 5
    out = {**case, "region": case["region"].clone()}
    out["region"][0, 3] = -1
    got = run("region_risk", case)
    assert all(torch.equal(a, b) for a, b in zip(got, run("region_risk", out), strict=True))
    out["region"][0, 3] = 1
    assert differs(got, run("region_risk", out))


def test_what_cannot_be_judged_counts_as_risk():
    case = cases.regions(batch=1, tokens=4, hidden=16, n_regions=4)
    case["region"][0] = torch.arange(4)
    case["hidden"][0, 0, 0] = torch.nan
    case["hidden"][0, 1] = case["center"]
    case["attention"][0, 2] = 0
    case["attention"][0, 3] = torch.nan
    mass, risk, _ = run("region_risk", case)
    assert risk[0, 0] == 1
    assert torch.allclose(risk[0, 1], torch.sigmoid(torch.tensor(-0.8)))
    assert risk[0, 2] == 0
    assert risk[0, 3] == 1
    assert mass[0, 3].isnan()


def test_no_tokens_is_no_risk():
    mass, risk, pooled = run("region_risk", cases.regions(tokens=0))
    assert not any(t.any() for t in (mass, risk, pooled))
