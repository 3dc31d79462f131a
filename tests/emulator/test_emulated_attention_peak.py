"""``attention_peak_`` as its CUDA kernels compute it: tensor cores emulated for sixteen-bit types, sums for f32."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from emulated_cases import check, differs, run
from ops_cases import ints

SHAPES = {
    "small": {},
    "several tiles": {"batch": 1, "rows": 70, "keys": 150, "visual": 135, "width": 64},
    "one head a group": {"heads": 4, "kv_heads": 4, "width": 128, "keys": 70},
    "odd width": {"width": 27, "keys": 40},
    "padded width": {"width": 80, "rows": 9},
    "widest": {"batch": 1, "width": 256, "keys": 33, "rows": 5},
}


@pytest.mark.parametrize("lse", [True, False], ids=["lse given", "lse computed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_near_float64(dtype, shape, lse):
    case = cases.attention(dtype=dtype, lse=lse, **SHAPES[shape])
    case["text_rows"][:, 0] = True
    got = check("attention_peak_", case)
    half = {**case, "q": case["q"].clone()}
    half["q"][..., case["q"].shape[-1] // 2 :] = 0
    assert differs(got, run("attention_peak_", half))
    assert differs(got, run("attention_peak_", {**case, "heads": case["heads"] * 0 + 1}))
    assert differs(got, [torch.zeros_like(case["acc"])])


@pytest.mark.parametrize("offset", [-5, 0, 3, 1000, -(2**40), 2**40])
def test_causal_offsets(dtype, offset):
    case = cases.attention(dtype=dtype, keys=19, rows=7)
    case["causal_offset"] = offset
    check("attention_peak_", case)


def test_the_causal_mask_matters():
    case = cases.attention()
    assert differs(run("attention_peak_", case), run("attention_peak_", {**case, "causal_offset": 4}))


def test_key_ranges_and_padded_visual_tokens(dtype):
    case = cases.attention(dtype=dtype)
    case["key_range"] = torch.tensor([[3, 15], [0, 0]], dtype=torch.int32)
    case["visual"] = torch.tensor([[0, 3, 14, 15, -1], [-1, 2, 2, 5, 18]], dtype=torch.int32)
    got = check("attention_peak_", case)[0]
    assert torch.equal(got[0, [0, 3, 4]], case["acc"][0, [0, 3, 4]])
    assert torch.equal(got[1], case["acc"][1])
    assert (got[0, 1:3] > case["acc"][0, 1:3]).all()


def test_the_probabilities_of_a_row_sum_to_one(dtype):
    case = cases.attention(batch=1, dtype=dtype, visual=19)
    case |= {"visual": torch.arange(19, dtype=torch.int32)[None], "weight": 1.0, "heads": ints(4)}
    case["acc"][:] = 0
    case["text_rows"][:] = False
    case["text_rows"][0, 5] = True
    total = run("attention_peak_", case)[0].sum()
    assert torch.allclose(total, torch.ones(()), rtol=1e-5)
    case["text_rows"][0, 2] = True
    assert run("attention_peak_", case)[0].sum() > 1.001


def test_the_order_of_heads_does_not_matter_and_a_head_named_twice_counts_twice():
    case = cases.attention()
    case["acc"][:] = 0
    (got,) = run("attention_peak_", case)
    (turned,) = run("attention_peak_", {**case, "heads": case["heads"].flip(0)})
    (twice,) = run("attention_peak_", {**case, "heads": case["heads"].repeat(2)})
    assert torch.allclose(got, turned, rtol=1e-6)
    assert torch.allclose(2 * got, twice, rtol=1e-6)


def test_text_rows_are_found_wherever_they_stand():
    case = cases.attention(batch=1, rows=600, keys=600, visual=3, heads=2, kv_heads=1, width=16)
    case["text_rows"][:] = False
    case["text_rows"][0, [0, 37, 300, 301, 599]] = True
    got = check("attention_peak_", case)
    case["text_rows"][0, 300] = False
    check("attention_peak_", case)
    assert not torch.equal(got[0], case["acc"])


@pytest.mark.parametrize("lse", [True, False])
def test_broken_scores_show(lse):
    case = cases.attention(batch=1, lse=lse)
    case["text_rows"][:] = True
    case["q"][0, 2, 4, 0] = torch.nan
    (got,) = run("attention_peak_", case)
    seen = case["visual"][0] <= 4 + case["causal_offset"]
    assert got[0, seen].isnan().all()
    case["text_rows"][0, 4] = False
    assert run("attention_peak_", case)[0].isfinite().all()


@pytest.mark.parametrize(("name", "value"), [("heads", 6), ("heads", -1), ("visual", 19), ("key_range", 20)])
def test_an_index_outside_stops_the_kernel(name, value):
    case = cases.attention()
    case["key_range"] = torch.tensor([[0, 19], [0, 19]], dtype=torch.int32)
    case[name].view(-1)[1] = value
    with pytest.raises(RuntimeError, match="an index lies outside"):
        run("attention_peak_", case)


def test_strided_and_unaligned_queries_and_keys(dtype):
    case = cases.attention(dtype=dtype, width=64)
    plain = run("attention_peak_", case)
    case["q"], case["k"] = cases.strided(case["q"], gap=1), cases.strided(case["k"], gap=3)
    assert torch.equal(run("attention_peak_", case)[0], plain[0])


def test_scores_of_minus_infinity_only_lose_their_share(dtype):
    case = cases.attention(batch=1, heads=1, kv_heads=1, rows=1, keys=130, width=1, visual=2, dtype=dtype)
    case |= {"heads": ints(0), "visual": ints(0, 129)[None], "weight": 1.0}
    case["acc"].zero_()
    case["text_rows"][:] = True
    case["q"].fill_(1.0)
    case["k"][0, 0, :100] = -torch.inf
    wanted = torch.softmax(case["k"][0, 0, :, 0].double(), dim=0)[[0, 129]]
    got = run("attention_peak_", case)[0][0].double()
    assert torch.allclose(got, wanted, rtol=1e-5)
    assert got[1] > 0


def test_without_a_depth_every_key_is_alike():
    case = cases.attention(width=0)
    case["text_rows"][:] = True
    check("attention_peak_", case)


@pytest.mark.parametrize("shape", [{"rows": 0}, {"keys": 0, "visual": 0}, {"visual": 0}, {"batch": 0}])
def test_nothing_to_look_at(shape):
    case = cases.attention(**shape)
    assert torch.equal(run("attention_peak_", case)[0], case["acc"])


def test_the_order_of_blocks_and_threads_does_not_show(dtype):
    case = cases.attention(dtype=dtype, rows=40, keys=90)
    assert torch.equal(run("attention_peak_", case, seed=1)[0], run("attention_peak_", case, seed=2)[0])
