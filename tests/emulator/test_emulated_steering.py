"""``steer_`` and ``add_rms_norm_steer_`` as their CUDA kernels compute them, bit for bit where bits are promised."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from emulated_cases import check, differs, run
from ops_cases import ints

from ras_ext import ops


@pytest.mark.parametrize("hidden", [1, 7, 8, 129, 2048, 2053])
def test_steering_gives_the_bits_of_the_cpu(dtype, hidden):
    case = cases.steer(hidden=hidden, dtype=dtype)
    (got,) = run("steer_", case)
    before = case["x"].clone()
    ops.steer_(**case)
    assert torch.equal(got, case["x"])
    assert not torch.equal(got, before)


@pytest.mark.parametrize("prototype_dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_types_mix(dtype, prototype_dtype):
    case = cases.steer(dtype=dtype, prototype_dtype=prototype_dtype)
    (got,) = run("steer_", case)
    ops.steer_(**case)
    assert torch.equal(got, case["x"])


def test_the_edges_of_a_dose():
    case = cases.steer(batch=5, n_rows=5, hidden=64)
    case["rows"] = ints(0, 1, 2, 3, 4)
    case["risk"] = torch.tensor([0.0, 1.0, torch.nan, torch.inf, 0.5])
    case["x"][0, 0], case["x"][1, 0], case["x"][4, 0] = torch.nan, torch.nan, torch.inf
    (got,) = run("steer_", case)
    target = case["prototypes"][case["slot"].long(), case["step"].long()]
    assert torch.equal(got[0].nan_to_num(7.0), case["x"][0].nan_to_num(7.0))
    assert torch.equal(got[1:4], target[1:4])
    assert got[4, 0].isinf()


@pytest.mark.parametrize("name", ["rows", "slot", "step"])
def test_a_negative_index_or_a_step_behind_the_schedule_leaves_the_bits_alone(name):
    case = cases.steer(hidden=64)
    case[name] = torch.full_like(case[name], 4 if name == "step" else -1)
    assert torch.equal(run("steer_", case)[0], case["x"])
    case[name] = torch.zeros_like(case[name]) if name != "rows" else ints(0, 1, 2)
    assert not torch.equal(run("steer_", case)[0], case["x"])


@pytest.mark.parametrize(("name", "value"), [("rows", 5), ("slot", 3)])
@pytest.mark.parametrize("operator", ["steer_", "add_rms_norm_steer_"])
def test_an_index_outside_stops_the_kernel(operator, name, value):
    case = cases.steer() if operator == "steer_" else cases.norm()
    case[name] = case[name].clone()
    case[name][1] = value
    with pytest.raises(RuntimeError, match="an index lies outside"):
        run(operator, case)


def test_strided_and_unaligned_rows():
    case = cases.steer(hidden=64)
    plain = run("steer_", case)[0]
    case["x"], case["prototypes"] = cases.strided(case["x"]), cases.strided(case["prototypes"])
    assert torch.equal(run("steer_", case)[0], plain)
    case["x"] = torch.cat([torch.zeros(1), case["x"].reshape(-1)])[1:].view(5, 64)
    assert case["x"].data_ptr() % 16 != 0
    assert torch.equal(run("steer_", case)[0], plain)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("hidden", [5, 129, 4096, 4100, 8200])
def test_the_fused_norm_is_near_float64(dtype, hidden, residual):
    got = check("add_rms_norm_steer_", cases.norm(hidden=hidden, dtype=dtype, residual=residual))
    halved = cases.norm(hidden=hidden, dtype=dtype, residual=residual)
    halved["x"][:, hidden // 2 :] = 0
    assert differs(got, run("add_rms_norm_steer_", halved))


@pytest.mark.parametrize("hidden", [129, 4096, 17_000])
def test_the_fused_norm_is_the_norm_and_then_the_steering(dtype, hidden):
    case = cases.norm(hidden=hidden, dtype=dtype)
    fused, residual = run("add_rms_norm_steer_", case)
    still = {**case, "rows": torch.full_like(case["rows"], -1)}
    normed, same_residual = run("add_rms_norm_steer_", still)
    steering = {name: case[name] for name in ("rows", "prototypes", "slot", "step", "risk")}
    (steered,) = run("steer_", {"x": normed, **steering})
    assert torch.equal(fused, steered)
    assert torch.equal(residual, same_residual)
    assert not torch.equal(fused, normed)


def test_more_entries_than_threads_find_their_rows():
    case = cases.norm(batch=300, n_rows=301, hidden=16)
    fused = run("add_rms_norm_steer_", case)[0]
    ops.add_rms_norm_steer_(**case)
    assert torch.allclose(fused, case["out"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("operator", ["steer_", "add_rms_norm_steer_"])
def test_the_order_of_blocks_and_threads_does_not_show(operator):
    case = cases.steer(hidden=2100) if operator == "steer_" else cases.norm(hidden=300)
    for one, other in zip(run(operator, case, seed=1), run(operator, case, seed=2), strict=True):
        assert torch.equal(one, other)
