"""``region_risk``: a risk per visual token, pooled per image region with the attention as weight."""

from __future__ import annotations

import math

import ops_cases as cases
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_cases import ints
from ops_closeness import assert_near

from ras_ext import ops, reference


def _composed(attention, hidden, direction, center, slope, bias, region, n_regions):
    """What one would write without the operator, in the type of the states."""
    dtype = hidden.dtype
    h = hidden if center is None else hidden - center.to(dtype)
    token = torch.sigmoid(slope * (torch.cosine_similarity(h, direction.to(dtype).expand_as(h), dim=2) - bias))
    member = torch.nn.functional.one_hot(region.long() + 1, n_regions + 1)[..., 1:] * attention.unsqueeze(2)
    mass = member.sum(1)
    weighted = (member * token.unsqueeze(2)).sum(1)
    return mass, torch.where(mass > 0, weighted / mass, 0.0), weighted.sum(1) / mass.sum(1).clamp(min=1e-30)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    ("batch", "tokens", "hidden", "n_regions"), [(1, 1, 1, 1), (2, 37, 129, 5), (1, 9, 2501, 2), (3, 144, 64, 16)]
)
def test_it_is_as_near_to_float64_as_torch_is(device, dtype, center, batch, tokens, hidden, n_regions):
    case = cases.regions(batch, tokens, hidden, n_regions, dtype, device, center)
    case["region"][:, 0] = 0
    got = ops.region_risk(**case)
    exact = reference.region_risk(**cases.exact(case))
    composed = _composed(**case)
    for mine, wanted, torchs in zip(got, exact, composed, strict=True):
        assert mine.dtype == torch.float32
        # A cosine near zero is a difference of large terms: its own size says little about its rounding.
        assert_near(mine, wanted, torchs, scale=wanted + 0.05 * (wanted > 0))
        with pytest.raises(AssertionError):
            assert_near(torch.zeros_like(mine), wanted, torchs, scale=wanted + 0.05 * (wanted > 0))
    if hidden > 1 and tokens > 1:
        half = {**case, "hidden": case["hidden"].clone()}
        half["hidden"][..., hidden // 2 :] = 0
        with pytest.raises(AssertionError):
            assert_near(ops.region_risk(**half)[2], exact[2], composed[2], scale=exact[2])
    if n_regions > 1:
        with pytest.raises(AssertionError):
            assert_near(got[0].flip(1), exact[0], composed[0])


def test_the_mass_of_all_regions_is_the_attention_on_the_tokens_that_count(device):
    case = cases.regions(device=device)
    counted = torch.where(case["region"] >= 0, case["attention"], 0.0)
    assert torch.allclose(ops.region_risk(**case)[0].sum(1), counted.sum(1), rtol=1e-5)
    assert not torch.allclose(counted.sum(1), case["attention"].sum(1), rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 10_000))
def test_risks_are_probabilities_that_do_not_depend_on_the_attentions_size(factor, seed):
    torch.manual_seed(seed)
    case = cases.regions()
    _, risk, pooled = ops.region_risk(**case)
    _, scaled, scaled_pooled = ops.region_risk(**{**case, "attention": case["attention"] * factor})
    assert ((risk >= 0) & (risk <= 1)).all()
    assert torch.allclose(risk, scaled, rtol=1e-5)
    assert torch.allclose(pooled, scaled_pooled, rtol=1e-5)
    held = torch.where(risk > 0, risk, 2.0).amin(1), risk.amax(1)
    assert ((pooled >= held[0] - 1e-6) & (pooled <= held[1] + 1e-6)).all()


def test_the_length_of_a_state_does_not_matter_only_its_direction(device):
    case = cases.regions(center=False, device=device)
    longer = {**case, "hidden": case["hidden"] * 37, "direction": case["direction"] * 0.01}
    assert torch.allclose(ops.region_risk(**case)[1], ops.region_risk(**longer)[1], rtol=1e-5)
    against = {**case, "direction": -case["direction"]}
    assert not torch.allclose(ops.region_risk(**case)[1], ops.region_risk(**against)[1], rtol=1e-2)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_state_along_the_direction_has_the_sigmoid_of_cosine_one(device, implementation):
    case = cases.regions(batch=1, tokens=1, n_regions=1, center=False, device=device)
    case["region"].zero_()
    case["hidden"][0, 0] = 3 * case["direction"]
    wanted = 1 / (1 + math.exp(-8.0 * (1 - 0.1)))
    _, risk, pooled = implementation.region_risk(**case)
    assert risk.item() == pytest.approx(wanted, rel=1e-5)
    assert pooled.item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_state_without_a_direction_has_cosine_zero(device, implementation):
    case = cases.regions(batch=1, tokens=1, n_regions=1, device=device)
    case["region"].zero_()
    case["hidden"][0, 0] = case["center"]
    assert implementation.region_risk(**case)[1].item() == pytest.approx(1 / (1 + math.exp(8.0 * 0.1)), rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_broken_state_counts_as_risk_one(device, dtype, value, implementation):
    case = cases.regions(batch=1, tokens=2, n_regions=2, dtype=dtype, device=device)
    case["region"] = ints(0, 1, device=device).unsqueeze(0)
    sound = implementation.region_risk(**case)
    case["hidden"][0, 1, 5] = value
    mass, risk, pooled = implementation.region_risk(**case)
    assert torch.equal(mass, sound[0])
    assert risk[0, 0] == sound[1][0, 0]
    assert risk[0, 1] == 1
    assert pooled > sound[2]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_broken_weight_makes_its_region_and_the_whole_risky(device, value, implementation):
    case = cases.regions(batch=2, tokens=2, n_regions=2, device=device)
    case["region"][:] = ints(0, 1, device=device)
    case["attention"][0, 1] = value
    mass, risk, pooled = implementation.region_risk(**case)
    assert not mass[0, 1].isfinite()
    assert risk[0, 1] == 1
    assert pooled[0] == 1
    assert risk[0, 0] < 1
    assert pooled[1] < 1


@pytest.mark.parametrize("implementation", [ops, reference])
def test_without_attention_or_members_there_is_no_risk(device, implementation):
    case = cases.regions(n_regions=4, device=device)
    case["region"].clamp_(max=2)
    case["attention"][1] = 0
    mass, risk, pooled = implementation.region_risk(**case)
    assert (mass[:, 3] == 0).all()
    assert (risk[:, 3] == 0).all()
    assert (risk[1] == 0).all()
    assert pooled[1] == 0
    assert pooled[0] > 0


@pytest.mark.parametrize(("batch", "tokens", "n_regions"), [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_nothing_to_pool_gives_zeros(device, batch, tokens, n_regions, implementation):
    case = cases.regions(batch, tokens, 8, n_regions, device=device)
    if n_regions == 0:
        case["region"].fill_(-1)
    mass, risk, pooled = implementation.region_risk(**case)
    assert mass.shape == risk.shape == (batch, n_regions)
    assert pooled.shape == (batch,)
    assert not any(t.any() for t in (mass, risk, pooled))


def test_strided_arguments_give_the_same_bits(device, dtype):
    case = cases.regions(dtype=dtype, device=device)
    apart = {**case, **{name: cases.strided(case[name]) for name in ("attention", "hidden", "region")}}
    for got, wanted in zip(ops.region_risk(**apart), ops.region_risk(**case), strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_region_that_cannot_be_is_named_in_the_error(implementation):
    case = cases.regions(batch=1, tokens=3, n_regions=2)
    with pytest.raises(RuntimeError, match=r"region must be below n_regions 2, got 2 at \(0, 1\)"):
        implementation.region_risk(**{**case, "region": ints(0, 2, 1).unsqueeze(0)})
