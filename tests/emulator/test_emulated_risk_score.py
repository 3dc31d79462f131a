"""``risk_score`` as its CUDA kernels compute it: one read up to eight steps, two beyond."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from emulated_cases import check, differs, run
from ops_cases import ints


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 9])
def test_it_is_near_float64(dtype, steps):
    case = cases.score(steps=steps, dtype=dtype)
    got = check("risk_score", case)
    case["logits"][..., : 1031 // 2] = -100
    assert differs(got, run("risk_score", case))


@pytest.mark.parametrize("vocabulary", [1, 3, 8, 2048, 4095, 4097])
def test_any_vocabulary(dtype, vocabulary):
    check("risk_score", cases.score(batch=2, vocabulary=vocabulary, dtype=dtype))


@pytest.mark.parametrize("steps", [3, 9])
def test_rows_of_different_lengths_do_not_read_what_lies_behind(steps):
    case = cases.score(batch=4, steps=steps)
    case["length"] = ints(0, 1, 2, steps)
    for b, length in enumerate(case["length"]):
        case["logits"][b, length:] = torch.nan
    got = run("risk_score", case)
    assert got[0].isfinite().all()
    clean = {**case, "logits": case["logits"].nan_to_num(0.0)}
    assert all(torch.equal(a, b) for a, b in zip(got, check("risk_score", clean), strict=True))
    assert got[1][0] == 1
    case["logits"][1, 0] = torch.nan
    assert run("risk_score", case)[0][1].isnan()


@pytest.mark.parametrize("steps", [3, 9])
def test_a_row_that_cannot_be_judged_is_steered_in_full(steps):
    case = cases.score(batch=5, steps=steps)
    case["logits"][0, 1, 7] = torch.nan
    case["logits"][1, 0, 3] = torch.inf
    case["logits"][2, 2] = -torch.inf
    case["logits"][3, :, 5:] = -torch.inf
    similarity, risk = run("risk_score", case)
    assert similarity[:3].isnan().all()
    assert (risk[:3] == 1).all()
    assert similarity[3:].isfinite().all()
    assert (risk[3:] < 1).all()
    case["prototype"][:] = 0
    assert (run("risk_score", case)[1] == 1).all()


@pytest.mark.parametrize("length", [-3, 99])
def test_a_length_outside_is_taken_as_the_nearest_end(length):
    case = cases.score(batch=1)
    got = run("risk_score", {**case, "length": ints(length)})
    wanted = run("risk_score", {**case, "length": ints(0 if length < 0 else 3)})
    other = run("risk_score", {**case, "length": ints(1)})
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    assert not torch.equal(got[1], other[1])


@pytest.mark.parametrize("steps", [3, 9])
@pytest.mark.parametrize("slice_", [112, 2048])
def test_however_the_vocabulary_is_cut_the_whole_is_the_same(steps, slice_):
    case = cases.score(batch=1, steps=steps, vocabulary=4800)
    whole, cut = run("risk_score", case, slice=8192), run("risk_score", case, slice=slice_)
    for a, b in zip(whole, cut, strict=True):
        assert torch.allclose(a, b, rtol=1e-6)
    short = {**case, "logits": case["logits"][..., :4784], "prototype": case["prototype"][:4784]}
    short["logits"][..., 0] += 1
    assert not torch.allclose(run("risk_score", short, slice=slice_)[0], whole[0], rtol=1e-6)


def test_a_row_has_the_same_bits_alone_and_in_a_batch(dtype):
    case = cases.score(batch=3, vocabulary=5000, dtype=dtype)
    together = run("risk_score", case)
    for b in range(3):
        alone = run("risk_score", {**case, "logits": case["logits"][b : b + 1], "length": case["length"][b : b + 1]})
        assert all(torch.equal(one[0], all_[b]) for one, all_ in zip(alone, together, strict=True))


def test_a_shift_of_all_logits_changes_nothing():
    case = cases.score(vocabulary=777)
    shifted = {**case, "logits": case["logits"] + 64}
    for a, b in zip(run("risk_score", case), run("risk_score", shifted), strict=True):
        assert torch.allclose(a, b, rtol=1e-4)


def test_strided_and_unaligned_logits(dtype):
    case = cases.score(vocabulary=1024, dtype=dtype)
    plain = run("risk_score", case)
    case["logits"] = cases.strided(case["logits"], gap=1)
    for a, b in zip(run("risk_score", case), plain, strict=True):
        assert torch.equal(a, b)


def test_the_order_of_blocks_and_threads_does_not_show():
    case = cases.score(vocabulary=5000)
    for one, other in zip(run("risk_score", case, seed=1), run("risk_score", case, seed=2), strict=True):
        assert torch.equal(one, other)
