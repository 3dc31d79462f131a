"""``attention_peak_``: the strongest attention any text token pays to each visual token."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_cases import ints
from ops_closeness import assert_near

from ras_ext import ops, reference

SHAPES = [
    {},
    {"batch": 1, "heads": 1, "kv_heads": 1, "rows": 1, "keys": 1, "visual": 1, "width": 1},
    {"heads": 8, "kv_heads": 2, "rows": 33, "keys": 131, "visual": 40, "width": 80},
    {"batch": 1, "heads": 4, "kv_heads": 4, "rows": 5, "keys": 257, "visual": 65, "width": 33},
]


def _composed(acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight, causal_offset):
    """What one would write without the operator, in the type of the queries."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)[:, heads.long()]
    scores = (q[:, heads.long()] @ k.transpose(2, 3)) * scale
    rows, keys = torch.arange(q.shape[2], device=q.device), torch.arange(k.shape[2], device=q.device)
    sees = keys <= rows.unsqueeze(1) + causal_offset
    scores = scores.masked_fill(~sees, -torch.inf)
    share = scores.softmax(-1) if lse is None else (scores.float() - lse[:, heads.long()].unsqueeze(3)).exp()
    share = share.masked_fill(~(text_rows[:, None, :, None] & sees), 0.0)
    peak = share.amax(2).sum(1).float()
    return acc + weight * peak.gather(1, visual.long())


def _result(case, implementation=ops):
    case = cases.copied(case)
    implementation.attention_peak_(**case)
    return case["acc"]


@pytest.mark.parametrize("lse", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_as_near_to_float64_as_torch_is(device, dtype, lse, shape):
    case = cases.attention(dtype=dtype, device=device, lse=lse, **shape)
    case["acc"].zero_()
    case["text_rows"][:, -1] = True
    exact = _result(cases.exact(case), reference)
    composed = _composed(**case)
    assert_near(_result(case), exact, composed)
    wrong = [torch.zeros_like(composed)]
    if case["q"].shape[3] > 1:
        half = case["q"].shape[3] // 2
        wrong.append(_result({**case, "q": case["q"][..., :half], "k": case["k"][..., :half]}))
    if case["q"].shape[1] > 1:
        wrong.append(_result({**case, "heads": case["heads"] + 1}))
        wrong.append(_result({**case, "q": case["q"].flip(1)}))
    for other in wrong:
        with pytest.raises(AssertionError):
            assert_near(other, exact, composed)


def test_a_given_log_sum_exp_is_the_one_it_would_compute(device):
    case = cases.attention(device=device)
    k = case["k"].repeat_interleave(3, dim=1)
    scores = case["q"].double() @ k.double().transpose(2, 3) * case["scale"]
    sees = torch.arange(19, device=device) <= torch.arange(7, device=device).unsqueeze(1) + 12
    case["lse"] = None
    computed = _result(case)
    case["lse"] = scores.masked_fill(~sees, -torch.inf).logsumexp(3).float()
    assert torch.allclose(_result(case), computed, rtol=1e-5)
    case["lse"] = case["lse"] + 0.1
    assert not torch.allclose(_result(case), computed, rtol=1e-3)


@pytest.mark.parametrize("offset", [-100, -7, -3, 0, 5, 18, 19, 10_000, 2**62, -(2**62)])
def test_a_row_sees_the_keys_up_to_itself_plus_the_offset(device, offset):
    case = {**cases.attention(device=device), "causal_offset": offset}
    exact = _result(cases.exact(case), reference)
    assert_near(_result(case), exact, _composed(**{**case, "causal_offset": max(min(offset, 19), -8)}).nan_to_num(0))
    if offset <= -7:
        assert torch.equal(_result(case), case["acc"]), "no row sees any key"
    else:
        other = _result({**case, "causal_offset": min(offset, 19) - 1})
        assert offset >= 18 or not torch.equal(other, _result(case))


def test_no_row_looks_past_itself(device):
    case = cases.attention(rows=5, keys=5, visual=5, device=device)
    case["visual"][:] = torch.arange(5, device=device)
    case["text_rows"][:] = torch.arange(5, device=device) == 2
    raised = _result(case) - case["acc"]
    assert (raised[:, :3] > 0).all()
    assert (raised[:, 3:] == 0).all()


def test_padding_is_not_looked_at_even_where_it_is_nan(device, dtype):
    case = cases.attention(dtype=dtype, device=device)
    case["key_range"] = torch.tensor([[4, 19], [0, 15]], dtype=torch.int32, device=device)
    clean = _result(case)
    case["k"][0, :, :4] = torch.nan
    case["k"][1, :, 15:] = torch.nan
    inside = (case["visual"] >= case["key_range"][:, :1]) & (case["visual"] < case["key_range"][:, 1:])
    for implementation in (ops, reference):
        got = _result(case, implementation)
        assert torch.allclose(got, clean, rtol=1e-5)
        assert torch.equal(got[~inside], case["acc"][~inside])
    case["key_range"] = None
    assert _result(case).isnan().any()


def test_left_padding_equals_the_same_row_without_it(device):
    case = cases.attention(batch=1, device=device)
    padded = {
        **case,
        "q": torch.cat([torch.full_like(case["q"][:, :, :3], 9.0), case["q"]], dim=2),
        "k": torch.cat([torch.full_like(case["k"][:, :, :3], 9.0), case["k"]], dim=2),
        "text_rows": torch.cat([torch.zeros_like(case["text_rows"][:, :3]), case["text_rows"]], dim=1),
        "visual": case["visual"] + 3,
        "key_range": torch.tensor([[3, 22]], dtype=torch.int32, device=device),
    }
    assert torch.allclose(_result(padded), _result(case), rtol=1e-5)
    assert not torch.allclose(_result({**padded, "key_range": None}), _result(case), rtol=1e-3)


@pytest.mark.parametrize("implementation", [ops, reference])
def test_absent_visual_tokens_leave_the_accumulator_bit_for_bit(device, implementation):
    case = cases.attention(device=device)
    case["visual"][:, 1::2] = -1
    case["acc"][:, 1] = torch.nan
    case["acc"][:, 3] = -0.0
    got = _result(case, implementation)
    absent = case["visual"] < 0
    assert torch.equal(got[absent].view(torch.int32), case["acc"][absent].view(torch.int32))
    assert (got[:, 0] >= case["acc"][:, 0]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), offset=st.integers(-8, 20))
def test_it_adds_a_probability_for_every_head(seed, offset):
    torch.manual_seed(seed)
    case = {**cases.attention(rows=4, keys=9, visual=9, batch=1), "weight": 1.0, "causal_offset": offset}
    case["visual"][:] = torch.arange(9)
    case["acc"].zero_()
    case["text_rows"][:] = torch.arange(4) == int(torch.randint(0, 4, ()))
    got = _result(case)
    assert (got >= 0).all()
    sees_something = int(case["text_rows"].long().argmax()) + offset >= 0
    assert got.sum().item() == pytest.approx(case["heads"].numel() if sees_something else 0, abs=1e-5)


def test_the_order_of_the_heads_does_not_matter_and_one_named_twice_counts_twice(device):
    case = cases.attention(device=device)
    there = _result({**case, "heads": ints(0, 3, 5, device=device)})
    back = _result({**case, "heads": ints(5, 0, 3, device=device)})
    assert torch.allclose(there, back, rtol=1e-6)
    case["acc"].zero_()
    once, twice = (_result({**case, "heads": ints(*h, device=device)}) for h in ((4,), (4, 4)))
    assert torch.allclose(2 * once, twice, rtol=1e-6)
    assert not torch.allclose(there, _result({**case, "heads": ints(1, 3, 5, device=device)}), rtol=1e-3)


def test_the_peak_over_two_rows_is_the_larger_of_their_peaks(device):
    case = cases.attention(heads=2, kv_heads=1, device=device)
    case["acc"].zero_()
    case["heads"] = ints(1, device=device)
    one, other, both = (torch.zeros_like(case["text_rows"]) for _ in range(3))
    one[:, 2] = other[:, 5] = True
    both[:] = one | other
    peaks = [_result({**case, "text_rows": rows}) for rows in (one, other, both)]
    assert torch.equal(torch.maximum(peaks[0], peaks[1]), peaks[2])


def test_transposed_and_strided_arguments_are_read_and_written_in_place(device, dtype):
    case = cases.attention(dtype=dtype, device=device, lse=True)
    apart = cases.copied(case)
    for name in ("q", "k"):
        apart[name] = case[name].transpose(1, 2).contiguous().transpose(1, 2)
    for name in ("acc", "lse", "text_rows", "visual"):
        apart[name] = cases.strided(case[name])
    ops.attention_peak_(**apart)
    assert torch.equal(apart["acc"], _result(case))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_broken_score_shows_in_the_accumulator(device, value, implementation):
    case = cases.attention(batch=1, rows=3, keys=150, device=device)
    case["causal_offset"] = 150
    case["text_rows"][:] = ints(0, 1, 0, device=device).bool()
    case["q"][0, 2, 1, 3] = value
    assert _result(case, implementation).isnan().all()
    case["text_rows"][:] = ints(1, 0, 1, device=device).bool()
    assert _result(case, implementation).isfinite().all(), "a row that does not count must not be read"


@pytest.mark.parametrize("implementation", [ops, reference])
def test_scores_of_minus_infinity_only_lose_their_share(device, implementation):
    case = cases.attention(batch=1, heads=1, kv_heads=1, rows=1, keys=130, width=1, visual=2, device=device)
    case.update(heads=ints(0, device=device), visual=ints(0, 129, device=device).unsqueeze(0), weight=1.0)
    case["text_rows"][:] = True
    case["q"].fill_(1.0)
    case["k"][0, 0, :100] = -torch.inf
    case["acc"].zero_()
    wanted = torch.softmax(case["k"][0, 0, :, 0].double(), dim=0)[[0, 129]]
    assert torch.allclose(_result(case, implementation)[0].double(), wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "shape",
    [{"batch": 0}, {"rows": 0, "keys": 0}, {"visual": 0}, {"rows": 0}, {"heads": 0, "kv_heads": 1}, {"width": 0}],
)
@pytest.mark.parametrize("implementation", [ops, reference])
def test_nothing_to_look_at_is_no_error(device, shape, implementation):
    case = {**cases.attention(**{**{"width": 8}, **shape}, device=device), "scale": 1.0}
    if not case["k"].shape[2]:
        case["visual"].fill_(-1)
    got = _result(case, implementation)
    if shape == {"width": 0}:
        assert (got >= case["acc"]).all()
    else:
        assert torch.equal(got, case["acc"])


def test_no_text_row_or_no_head_adds_nothing(device):
    case = cases.attention(device=device)
    none = torch.zeros_like(case["text_rows"])
    for implementation in (ops, reference):
        assert torch.equal(_result({**case, "text_rows": none}, implementation), case["acc"])
        assert torch.equal(_result({**case, "heads": case["heads"][:0]}, implementation), case["acc"])


@pytest.mark.parametrize("implementation", [ops, reference])
def test_positions_that_cannot_be_are_named_in_the_error(implementation):
    for name, value, sentence in [
        ("heads", ints(0, 6), r"heads must lie in 0\.\.5, got 6"),
        ("heads", ints(-1), r"heads must lie in 0\.\.5, got -1"),
        (
            "visual",
            ints(0, 1, 19, 2, 3).expand(2, 5).contiguous(),
            r"visual must be below the number of keys 19, got 19 at \(0, 2\)",
        ),
        (
            "key_range",
            ints(0, 19, 3, 20).view(2, 2),
            r"key_range must be \(first, past\) within 0\.\.19, got \(3, 20\) at 1",
        ),
        (
            "key_range",
            ints(5, 4, 0, 1).view(2, 2),
            r"key_range must be \(first, past\) within 0\.\.19, got \(5, 4\) at 0",
        ),
    ]:
        with pytest.raises(RuntimeError, match=sentence):
            implementation.attention_peak_(**{**cases.attention(), name: value})
