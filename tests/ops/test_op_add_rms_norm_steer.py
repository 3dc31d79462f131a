"""``add_rms_norm_steer_``: the last norm with the steering inside."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from ops_closeness import assert_near

from ras_ext import ops, reference

SHAPES = [(1, 1, 1), (3, 5, 129), (2, 3, 1024), (4, 6, 2501)]


def _only_norm(case):
    """The same call with nobody to steer."""
    return {**cases.copied(case), "rows": torch.full_like(case["rows"], -1)}


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("batch", "n_rows", "hidden"), SHAPES)
def test_it_is_the_norm_followed_by_the_steering_bit_for_bit(device, dtype, residual, batch, n_rows, hidden):
    case = cases.norm(batch, n_rows, hidden, dtype, device, residual)
    apart = _only_norm(case)
    ops.add_rms_norm_steer_(**case)
    ops.add_rms_norm_steer_(**apart)
    normed = apart["out"].clone()
    ops.steer_(apart["out"], *(case[name] for name in ("rows", "prototypes", "slot", "step", "risk")))
    assert torch.equal(case["out"], apart["out"])
    assert not torch.equal(case["out"], normed), "the steering must have done something"
    if residual:
        assert torch.equal(case["residual"], apart["residual"])


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("batch", "n_rows", "hidden"), SHAPES)
def test_the_norm_is_as_near_to_float64_as_torch_is(device, dtype, residual, batch, n_rows, hidden):
    case = _only_norm(cases.norm(batch, n_rows, hidden, dtype, device, residual))
    case["x"][:, : (hidden + 1) // 2] *= 3  # so that a mean over half the columns is clearly another one
    carried = case["x"] + case["residual"] if residual else case["x"]
    composed = torch.nn.functional.rms_norm(carried, (hidden,), case["weight"], case["eps"])
    exact = carried.double()
    exact = exact / (exact.square().mean(dim=1, keepdim=True) + case["eps"]).sqrt() * case["weight"].double()
    ops.add_rms_norm_steer_(**case)
    assert_near(case["out"], exact, composed)
    if residual:
        assert torch.equal(case["residual"], carried)
    half = carried[:, : (hidden + 1) // 2].double().square().mean(dim=1, keepdim=True)
    wrong = [torch.zeros_like(composed), case["weight"] * carried]
    if hidden > 1:
        wrong.append((carried.double() / half.sqrt() * case["weight"].double()).to(dtype))
    for other in wrong:
        with pytest.raises(AssertionError):
            assert_near(other, exact, composed)


def test_the_reference_gives_the_same_steered_rows(device, dtype):
    case = cases.norm(dtype=dtype, device=device)
    other, exact = cases.copied(case), cases.exact(case)
    ops.add_rms_norm_steer_(**case)
    reference.add_rms_norm_steer_(**other)
    assert torch.equal(case["residual"], other["residual"])
    exact["residual"] = (exact["x"] + exact["residual"]).to(dtype).double() - exact["x"]
    reference.add_rms_norm_steer_(**exact)
    size = exact["out"].abs() + case["prototypes"].double().abs().max() * 2
    assert_near(case["out"], exact["out"], other["out"], scale=size)
    with pytest.raises(AssertionError):
        assert_near(torch.zeros_like(case["out"]), exact["out"], other["out"], scale=size)


@pytest.mark.parametrize(
    ("out", "x", "residual", "weight"),
    [
        (torch.bfloat16, torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float16, torch.float16, torch.bfloat16),
        (torch.float16, torch.float32, None, torch.float32),
    ],
)
def test_each_tensor_may_have_its_own_type(device, out, x, residual, weight):
    case = cases.norm(device=device, residual=residual is not None)
    for name, wanted in (("out", out), ("x", x), ("residual", residual), ("weight", weight)):
        if wanted is not None:
            case[name] = case[name].to(wanted)
    other = cases.copied(case)
    ops.add_rms_norm_steer_(**case)
    reference.add_rms_norm_steer_(**other)
    eps = torch.finfo(out).eps
    assert torch.allclose(case["out"], other["out"], rtol=4 * eps, atol=4 * eps)
    assert not torch.allclose(case["out"], other["out"] * 1.05, rtol=4 * eps, atol=4 * eps)
    if residual is not None:
        assert torch.equal(case["residual"], other["residual"])


def test_strided_rows_are_read_and_written_in_place(device, dtype):
    case = cases.norm(dtype=dtype, device=device)
    dense = cases.copied(case)
    for name in ("out", "x", "residual"):
        case[name] = cases.strided(case[name])
    ops.add_rms_norm_steer_(**case)
    ops.add_rms_norm_steer_(**dense)
    assert torch.equal(case["out"], dense["out"])
    assert torch.equal(case["residual"], dense["residual"])
    behind = case["out"].as_strided((5, 3), case["out"].stride(), case["out"].shape[1])
    assert behind.isnan().all(), "the gap between rows was written"


def test_a_broken_row_at_full_risk_comes_out_as_the_prototype(device):
    case = cases.norm(batch=1, n_rows=2, device=device)
    case["x"][case["rows"].long()] = torch.nan
    case["risk"].fill_(torch.nan)
    ops.add_rms_norm_steer_(**case)
    steered = case["out"][case["rows"].long()]
    assert torch.equal(steered, case["prototypes"][case["slot"].long(), case["step"].long()])


@pytest.mark.parametrize("shape", [(0, 0, 4), (0, 3, 4), (0, 0, 0)])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_nothing_to_norm_is_no_error(device, shape, implementation):
    case = cases.norm(*shape, device=device)
    implementation.add_rms_norm_steer_(**case)
    assert case["out"].isfinite().all()


@pytest.mark.parametrize("rows", [1, 7])
def test_one_thread_and_several_give_the_same_bits(rows):
    case = cases.norm(batch=1, n_rows=rows, hidden=4096)
    other = cases.copied(case)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        ops.add_rms_norm_steer_(**case)
        torch.set_num_threads(4)
        ops.add_rms_norm_steer_(**other)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(case["out"], other["out"])
