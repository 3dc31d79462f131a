"""The stand-in itself: it computes what CUDA promises, and breaks where a kernel breaks a rule."""

from __future__ import annotations

import emulated
import pytest
import torch


def _out(size: int) -> torch.Tensor:
    return torch.full((size,), 7.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_tensor_core_product_is_the_matrix_product(dtype):
    a, b, out = torch.randn(16, 16).to(dtype), torch.randn(8, 16).to(dtype), _out(128)
    emulated.run("probe product", {"a": a, "b": b, "out": out}, wait=1)
    wanted = a.double() @ b.double().T
    assert torch.allclose(out.view(16, 8).double(), wanted, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(out.view(8, 16).T.double(), wanted, rtol=1e-5, atol=1e-5)


def test_what_has_not_been_waited_for_is_not_there():
    a, b, out = torch.randn(16, 16).half(), torch.randn(8, 16).half(), _out(128)
    emulated.run("probe product", {"a": a, "b": b, "out": out}, wait=0)
    assert out.isnan().all()


def test_threads_see_what_their_warp_and_block_say():
    out = _out(256)
    emulated.run("probe collectives", {"out": out})
    neighbour, ballot, votes, down = out.view(64, 4).T
    index = torch.arange(64)
    assert torch.equal(neighbour, (index ^ 1).float())
    assert (ballot == 11).all()
    assert (votes == 13).all()
    assert torch.equal(down, torch.where(index % 32 < 28, index + 4, index).float())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_missing_barrier_shows_as_nan_whatever_the_order(seed):
    out = _out(64)
    emulated.run("probe sum", {"out": out}, barrier=1, seed=seed)
    assert (out == 64).all()
    emulated.run("probe sum", {"out": out}, barrier=0, seed=seed)
    assert out.isnan().any()


def test_threads_that_have_ended_do_not_hold_up_a_barrier():
    out = _out(64)
    emulated.run("probe early", {"out": out})
    assert (out[:32] == 1).all()
    assert (out[32:] == 7).all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("apart", "threads wait for each other at different places"),
        ("leaving", r"a thread leaves while its warp works together|after one of its threads has left"),
        ("misaligned", "an asynchronous copy needs an address aligned to 16 bytes"),
        ("beyond", "the kernel stopped itself"),
    ],
)
def test_a_broken_rule_is_a_fault(name, says):
    with pytest.raises(RuntimeError, match=says):
        emulated.run(f"probe {name}", {"out": _out(64)})


@pytest.mark.parametrize(("threads", "shared"), [(1025, 0), (0, 0), (32, 100 * 1024)])
def test_a_launch_no_gpu_takes_is_a_fault(threads, shared):
    with pytest.raises(RuntimeError, match="no GPU takes this launch of probe_kernel"):
        emulated.run("probe large", {}, threads=threads, shared=shared)
