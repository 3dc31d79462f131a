"""``risk_score``: how alike an answer's opening is to a refusal's, and the risk that follows."""

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


def _composed(logits, length, prototype, gamma, alpha, s_base):
    """What one would write without the operator, in the type of the logits."""
    real = torch.arange(logits.shape[1], device=logits.device) < length.unsqueeze(1)
    decay = gamma ** torch.arange(logits.shape[1], device=logits.device, dtype=torch.float32)
    mixture = (logits.softmax(-1) * (decay * real).unsqueeze(2).to(logits.dtype)).sum(1)
    similarity = torch.cosine_similarity(mixture, prototype.to(logits.dtype).unsqueeze(0), dim=1)
    return similarity, torch.sigmoid(alpha * (similarity - s_base))


def _risk_scale(risk):
    """How much the risk moves for a relative change of the similarity, at the slope these cases have."""
    return risk * (1 - risk) * 6.0 + risk


@pytest.mark.parametrize(
    ("batch", "steps", "vocabulary"), [(1, 1, 1), (3, 3, 1031), (2, 4, 8192), (1, 3, 8193), (2, 2, 20_011)]
)
def test_it_is_as_near_to_float64_as_torch_is(device, dtype, batch, steps, vocabulary):
    case = cases.score(batch, steps, vocabulary, dtype, device)
    similarity, risk = ops.risk_score(**case)
    exact, exact_risk = reference.risk_score(**cases.exact(case))
    composed, composed_risk = _composed(**case)
    assert similarity.dtype == risk.dtype == torch.float32
    assert_near(similarity, exact, composed)
    assert_near(risk, exact_risk, composed_risk, scale=_risk_scale(exact_risk))
    single_step = ops.risk_score(**{**case, "length": torch.ones_like(case["length"])})[0]
    wrong = [torch.zeros_like(similarity), similarity * 1.1]
    if steps > 1 and vocabulary > 1:
        wrong.append(single_step)
    if batch > 1:
        wrong.append(similarity.flip(0))
    for other in wrong:
        with pytest.raises(AssertionError):
            assert_near(other, exact, composed)


def test_the_similarity_of_the_prototype_itself_is_one_and_its_risk_follows(device):
    case = cases.score(batch=1, device=device)
    probabilities = torch.softmax(case["logits"][0].double(), dim=-1)
    decay = torch.tensor([1.0, 0.3, 0.09], dtype=torch.float64, device=device).unsqueeze(1)
    case["prototype"] = (probabilities * decay).sum(0).float()
    case.update(alpha=math.log(99) / (1 - 0.7), s_base=0.7)
    similarity, risk = ops.risk_score(**case)
    assert similarity.item() == pytest.approx(1, abs=1e-6)
    assert risk.item() == pytest.approx(0.99, abs=1e-5)
    assert similarity.item() <= 1


def test_the_first_step_decides_when_gamma_is_zero(device):
    case = {**cases.score(device=device), "gamma": 0.0}
    one_step = {**case, "logits": case["logits"][:, :1], "length": torch.ones_like(case["length"])}
    assert torch.allclose(ops.risk_score(**case)[0], ops.risk_score(**one_step)[0], rtol=1e-6)
    assert not torch.allclose(ops.risk_score(**{**case, "gamma": 1.0})[0], ops.risk_score(**one_step)[0], rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-40, 40), seed=st.integers(0, 10_000))
def test_a_constant_added_to_a_steps_logits_changes_nothing(shift, seed):
    torch.manual_seed(seed)
    case = cases.score(vocabulary=257)
    moved = {**case, "logits": case["logits"] + shift * torch.rand(3, 3, 1).round()}
    assert torch.allclose(ops.risk_score(**case)[0], ops.risk_score(**moved)[0], rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 10_000))
def test_similarity_lies_between_zero_and_one_whatever_the_prototypes_size(scale, seed):
    torch.manual_seed(seed)
    case = cases.score(vocabulary=257)
    similarity, risk = ops.risk_score(**case)
    scaled = ops.risk_score(**{**case, "prototype": case["prototype"] * scale})[0]
    assert ((similarity >= 0) & (similarity <= 1)).all()
    assert ((risk > 0) & (risk < 1)).all()
    assert torch.allclose(similarity, scaled, rtol=1e-5)


def test_permuting_the_vocabulary_changes_nothing(device):
    case = cases.score(device=device)
    order = torch.randperm(case["prototype"].shape[0], device=device)
    turned = {**case, "logits": case["logits"][..., order], "prototype": case["prototype"][order]}
    assert torch.allclose(ops.risk_score(**case)[0], ops.risk_score(**turned)[0], rtol=1e-5)
    half_turned = {**case, "logits": case["logits"][..., order]}
    assert not torch.allclose(ops.risk_score(**case)[0], ops.risk_score(**half_turned)[0], rtol=1e-2)


def test_a_row_scores_the_same_alone_and_in_a_batch(device, dtype):
    case = cases.score(batch=5, dtype=dtype, device=device)
    together = ops.risk_score(**case)
    for b in range(5):
        alone = ops.risk_score(**{**case, "logits": case["logits"][b : b + 1], "length": case["length"][b : b + 1]})
        assert torch.equal(alone[0][0], together[0][b])
        assert torch.equal(alone[1][0], together[1][b])


def test_only_the_real_steps_count(device):
    case = cases.score(batch=4, device=device)
    case["length"] = ints(3, 2, 1, 0, device=device)
    whole = ops.risk_score(**case)[0]
    for b, real in enumerate((3, 2, 1)):
        cut = {**case, "logits": case["logits"][b : b + 1, :real], "length": ints(real, device=device)}
        assert torch.equal(ops.risk_score(**cut)[0][0], whole[b])
    case["logits"][1, 2:] = torch.nan
    case["logits"][2, 1:] = torch.inf
    case["logits"][3] = torch.nan
    assert torch.equal(ops.risk_score(**case)[0], whole)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_row_of_length_zero_has_similarity_zero_and_is_steered_in_full(device, implementation):
    case = cases.score(batch=2, device=device)
    case["length"] = ints(0, 3, device=device)
    similarity, risk = implementation.risk_score(**case)
    assert (similarity[0].item(), risk[0].item()) == (0.0, 1.0)
    assert risk[1] < 1


@pytest.mark.parametrize("vocabulary", [33, 17_000])
@pytest.mark.parametrize("broken", ["one NaN", "one +inf", "all -inf", "all NaN"])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_row_with_broken_logits_has_no_similarity_and_is_steered_in_full(
    device, dtype, vocabulary, broken, implementation
):
    case = cases.score(batch=3, vocabulary=vocabulary, dtype=dtype, device=device)
    sound = implementation.risk_score(**case)
    row = case["logits"][1, 2]
    if broken.startswith("one"):
        row[vocabulary // 2] = torch.nan if "NaN" in broken else torch.inf
    else:
        row[:] = torch.nan if "NaN" in broken else -torch.inf
    similarity, risk = implementation.risk_score(**case)
    assert similarity[1].isnan()
    assert risk[1].item() == 1.0
    for b in (0, 2):
        assert torch.equal(similarity[b], sound[0][b])
        assert torch.equal(risk[b], sound[1][b])


def test_a_slice_of_nothing_but_minus_infinity_only_loses_its_share(device, dtype):
    case = cases.score(batch=1, vocabulary=20_000, dtype=dtype, device=device)
    case["logits"][:, :, :9000] = -torch.inf
    similarity, _ = ops.risk_score(**case)
    cut = {**case, "logits": case["logits"][..., 9000:].clone()}
    cut["prototype"] = case["prototype"][9000:].clone()
    share = case["prototype"][9000:].double().norm() / case["prototype"].double().norm()
    assert torch.allclose(similarity.double(), ops.risk_score(**cut)[0].double() * share, rtol=1e-5)


@pytest.mark.parametrize("prototype", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_prototype_without_a_direction_steers_everything_in_full(device, prototype, implementation):
    case = cases.score(device=device)
    case["prototype"] = torch.full_like(case["prototype"], prototype)
    similarity, risk = implementation.risk_score(**case)
    assert similarity.isnan().all()
    assert (risk == 1).all()


def test_very_large_logits_do_not_overflow(device):
    case = cases.score(device=device)
    case["logits"] *= 1e30
    exact, _ = reference.risk_score(**cases.exact(case))
    assert torch.allclose(ops.risk_score(**case)[0].double(), exact, rtol=1e-5)
    assert exact.isfinite().all()


def test_strided_logits_give_the_same_bits(device, dtype):
    case = cases.score(dtype=dtype, device=device)
    turned = case["logits"].transpose(0, 1).contiguous().transpose(0, 1)
    assert turned.stride() != case["logits"].stride()
    for logits in (turned, cases.strided(case["logits"])):
        for got, wanted in zip(ops.risk_score(**{**case, "logits": logits}), ops.risk_score(**case), strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_an_empty_batch_or_no_steps_is_no_error(device, implementation):
    case = cases.score(batch=0, device=device)
    assert [tuple(t.shape) for t in implementation.risk_score(**case)] == [(0,), (0,)]
    similarity, risk = implementation.risk_score(**cases.score(batch=2, steps=0, device=device))
    assert similarity.tolist() == [0, 0]
    assert risk.tolist() == [1, 1]


def test_one_thread_and_several_give_the_same_bits():
    case = cases.score(batch=1, vocabulary=50_000)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = ops.risk_score(**case)
        torch.set_num_threads(4)
        shared = ops.risk_score(**case)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone[0], shared[0])


@pytest.mark.parametrize("implementation", [ops, reference])
@pytest.mark.parametrize("length", [-1, 4])
def test_a_length_that_cannot_be_is_named_in_the_error(implementation, length):
    case = cases.score()
    with pytest.raises(RuntimeError, match=rf"length must lie in 0\.\.3, got {length} at 1"):
        implementation.risk_score(**{**case, "length": ints(3, length, 3)})
