"""``steer_``: rows toward their prototypes, by their risk, and nothing else."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_cases import ints
from ops_closeness import assert_near

from ras_ext import ops, reference


def _composed(x, rows, prototypes, slot, step, risk):
    """What one would write without the operator, in the type of x."""
    x = x.clone()
    index, dose = rows.long(), risk.unsqueeze(1)
    target = prototypes[slot.long(), step.long()].to(x.dtype)
    x[index] += (dose * (target - x[index])).to(x.dtype)
    return x


@pytest.mark.parametrize(("batch", "n_rows", "hidden"), [(1, 1, 1), (3, 5, 129), (4, 4, 1024), (2, 9, 2501)])
def test_it_mixes_rows_as_near_to_float64_as_torch_does(device, dtype, batch, n_rows, hidden):
    case = cases.steer(batch, n_rows, hidden, dtype, device)
    composed = _composed(**case)
    exact = cases.exact(case)
    reference.steer_(**exact)
    size = cases.exact(case)["x"].abs() + case["prototypes"].abs().max()
    before = case["x"].clone()
    ops.steer_(**case)
    assert_near(case["x"], exact["x"], composed, scale=size)
    for wrong in (torch.zeros_like(before), before, _half(case["x"], before)):
        if not torch.equal(wrong, case["x"]):
            with pytest.raises(AssertionError):
                assert_near(wrong, exact["x"], composed, scale=size)


def _half(steered, before):
    """Only the first half of the columns steered."""
    return torch.cat([steered[:, : steered.shape[1] // 2], before[:, steered.shape[1] // 2 :]], dim=1)


def test_the_reference_gives_the_same_bits(device, dtype):
    case = cases.steer(hidden=2049, dtype=dtype, device=device, prototype_dtype=torch.float32)
    case["risk"][0] = torch.nan
    other = cases.copied(case)
    ops.steer_(**case)
    reference.steer_(**other)
    assert torch.equal(case["x"], other["x"])
    other["x"][0, 0] += 1
    assert not torch.equal(case["x"], other["x"])


@pytest.mark.parametrize("prototype_dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_prototypes_may_have_another_type_than_the_rows(device, dtype, prototype_dtype):
    case = cases.steer(dtype=dtype, device=device, prototype_dtype=prototype_dtype)
    case["risk"].fill_(1)
    ops.steer_(**case)
    wanted = case["prototypes"][case["slot"].long(), case["step"].long()].to(dtype)
    assert torch.equal(case["x"][case["rows"].long()], wanted)


def test_full_risk_writes_the_prototype_whatever_the_row_held(device, dtype):
    case = cases.steer(batch=2, n_rows=2, dtype=dtype, device=device)
    case["x"][0].fill_(torch.nan)
    case["x"][1].fill_(torch.inf)
    case["risk"].fill_(1)
    ops.steer_(**case)
    assert torch.equal(case["x"][case["rows"].long()], case["prototypes"][case["slot"].long(), case["step"].long()])


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_risk_that_is_no_finite_number_steers_in_full(device, broken, implementation):
    case = cases.steer(device=device)
    full = cases.copied(case)
    case["risk"].fill_(broken)
    full["risk"].fill_(1)
    implementation.steer_(**case)
    implementation.steer_(**full)
    assert torch.equal(case["x"], full["x"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("risk", 0.0), ("risk", -0.0), ("rows", -1), ("slot", -1), ("step", -1), ("step", 4), ("step", 99)],
)
@pytest.mark.parametrize("implementation", [ops, reference])
def test_an_entry_out_of_the_schedule_leaves_its_row_bit_for_bit(device, dtype, name, value, implementation):
    case = cases.steer(dtype=dtype, device=device)
    case["x"][0, :4] = torch.tensor([-0.0, torch.nan, torch.inf, 1e-7])
    case["risk"].clamp_(min=0.1)
    before = case["x"].clone()
    case[name][1] = value
    steered = set(case["rows"].tolist()) - {int(case["rows"][1]), -1}
    if name == "rows":
        steered = {int(case["rows"][0]), int(case["rows"][2])}
    implementation.steer_(**case)
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    same = (case["x"].view(bits) == before.view(bits)).all(dim=1).tolist()
    assert same == [row not in steered for row in range(5)]


def test_infinite_logits_stay_infinite_between_no_dose_and_full_dose(device):
    case = cases.steer(batch=1, n_rows=1, hidden=3, device=device)
    case["x"][0] = torch.tensor([-torch.inf, torch.inf, 1.0])
    case["risk"].fill_(0.25)
    ops.steer_(**case)
    assert case["x"][0].tolist()[:2] == [-torch.inf, torch.inf]
    assert case["x"][0, 2].isfinite()


def test_rows_of_a_strided_view_are_steered_in_place(device, dtype):
    states = torch.randn(3, 4, 65, device=device).to(dtype)
    before = states.clone()
    case = cases.steer(batch=3, n_rows=3, hidden=65, dtype=dtype, device=device)
    case["prototypes"] = cases.strided(case["prototypes"])
    dense = {**case, "x": states[:, -1].clone(), "prototypes": case["prototypes"].contiguous()}
    ops.steer_(**{**case, "x": states[:, -1]})
    ops.steer_(**dense)
    assert torch.equal(states[:, -1], dense["x"])
    assert torch.equal(states[:, :-1], before[:, :-1])
    assert not torch.equal(states[:, -1], before[:, -1])


@pytest.mark.parametrize("shape", [(0, 0, 4), (0, 3, 4), (2, 3, 0)])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_nothing_to_steer_is_no_error(device, shape, implementation):
    batch, n_rows, hidden = shape
    case = cases.steer(batch, n_rows, hidden, device=device)
    before = case["x"].clone()
    implementation.steer_(**case)
    assert torch.equal(case["x"], before)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_without_slots_or_steps_every_row_is_left_alone(device, implementation):
    case = cases.steer(device=device)
    before = case["x"].clone()
    for prototypes in (case["prototypes"][:, :0], case["prototypes"][:0]):
        slot = torch.full_like(case["slot"], -1 if not prototypes.shape[0] else 0)
        implementation.steer_(**{**case, "prototypes": prototypes, "slot": slot})
    assert torch.equal(case["x"], before)


def test_a_vocabulary_wide_row_is_steered_to_its_last_column(device):
    case = cases.steer(batch=1, n_rows=2, hidden=152_064, dtype=torch.bfloat16, device=device)
    exact = cases.exact(case)
    ops.steer_(**case)
    reference.steer_(**exact)
    assert torch.allclose(case["x"].double(), exact["x"], rtol=0.01, atol=0.01)
    other = case["x"].clone()
    other[case["rows"].long(), -1] += 1
    assert not torch.allclose(other.double(), exact["x"], rtol=0.01, atol=0.01)


@settings(max_examples=25, deadline=None)
@given(risk=st.floats(0, 1, width=32), seed=st.integers(0, 10_000))
def test_a_steered_value_lies_between_the_row_and_the_prototype(risk, seed):
    torch.manual_seed(seed)
    case = cases.steer(batch=1, n_rows=1, hidden=17)
    case["risk"].fill_(risk)
    start, target = case["x"].clone(), case["prototypes"][int(case["slot"]), int(case["step"])]
    ops.steer_(**case)
    slack = 1e-6 * (start.abs() + target.abs())
    assert (case["x"] >= torch.minimum(start, target) - slack).all()
    assert (case["x"] <= torch.maximum(start, target) + slack).all()


def test_permuting_the_batch_changes_nothing(device, dtype):
    case = cases.steer(batch=4, n_rows=6, dtype=dtype, device=device)
    order = torch.randperm(4, device=device)
    turned = {
        name: v[order].contiguous() if name in ("rows", "slot", "step", "risk") else v.clone()
        for name, v in case.items()
    }
    ops.steer_(**case)
    ops.steer_(**turned)
    assert torch.equal(case["x"], turned["x"])


@pytest.mark.parametrize("implementation", [ops, reference])
def test_rows_that_cannot_be_are_named_in_the_error(implementation):
    for name, values, sentence in [
        ("rows", (0, 5, 1), r"rows must be below the number of rows 5, got 5 at 1"),
        ("slot", (0, 0, 3), r"slot must be below the number of slots 3, got 3 at 2"),
        ("rows", (4, 2, 4), r"rows must name each row at most once, got row 4 twice"),
    ]:
        case = cases.steer()
        before = case["x"].clone()
        case["risk"].fill_(0.5)
        with pytest.raises(RuntimeError, match=sentence):
            implementation.steer_(**{**case, name: ints(*values)})
        assert torch.equal(case["x"], before), "an error must leave the rows alone"


def test_a_tensor_that_wants_a_gradient_is_refused():
    case = cases.steer()
    with torch.enable_grad(), pytest.raises(RuntimeError, match=r"x is written to without a gradient"):
        ops.steer_(**{**case, "x": case["x"].requires_grad_()})
