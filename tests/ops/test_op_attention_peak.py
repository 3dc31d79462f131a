"""``attention_peak_``: the strongest attention any text token pays to each visual token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


# The CPU works on tiles of 64 rows in panels of 16, blocks of 96 keys in steps of 32 or 6, and depths of 32.
EDGES = [
    {"rows": 15, "keys": 95, "width": 31, "visual": 31},
    {"rows": 16, "keys": 96, "width": 32, "visual": 32},
    {"rows": 17, "keys": 97, "width": 33, "visual": 33},
    {"rows": 48, "keys": 31, "width": 64, "visual": 16},
    {"rows": 63, "keys": 193, "width": 65, "visual": 95},
    {"rows": 64, "keys": 192, "width": 1, "visual": 192},
    {"rows": 65, "keys": 191, "width": 96, "visual": 97},
    {"rows": 130, "keys": 130, "width": 7, "visual": 130},
]


def _edge(shape: dict[str, int], dtype: torch.dtype, device: str = "cpu", lse: bool = False) -> cases.Case:
    """All rows are text, and the visual keys are neighbours: the shapes above are those of the products."""
    case = cases.attention(batch=1, heads=4, kv_heads=2, dtype=dtype, device=device, lse=lse, **shape)
    case["acc"].zero_()
    case["text_rows"][:] = True
    first = (shape["keys"] - shape["visual"]) // 2
    case["visual"][:] = torch.arange(first, first + shape["visual"], device=device)
    return case


@pytest.mark.parametrize("lse", [False, True])
@pytest.mark.parametrize("shape", EDGES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_no_row_key_or_value_at_the_edge_of_a_tile_is_lost(device, dtype, shape, lse):
    case = _edge(shape, dtype, device, lse)
    whole = _result(case)
    for name, dim, last in (("q", 2, -1), ("q", 3, -1), ("k", 2, int(case["visual"].max())), ("k", 3, -1)):
        changed = {**case, name: case[name].clone()}
        changed[name].select(dim, last).mul_(4)
        got, exact, composed = _result(changed), _result(cases.exact(changed), reference), _composed(**changed)
        assert_near(got, exact, composed)
        assert not torch.equal(got, whole), f"the last of dimension {dim} of {name} does not count"
        with pytest.raises(AssertionError):
            assert_near(torch.zeros_like(got), exact, composed)


def _results() -> Iterator[torch.Tensor]:
    """The same arguments on each call; few tiles and many."""
    torch.manual_seed(5)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        for shape in EDGES:
            for lse in (False, True):
                yield _result(_edge(shape, dtype, lse=lse))
        yield _result(cases.attention(rows=150, keys=300, visual=200, heads=12, width=40, dtype=dtype))


def test_the_number_of_threads_changes_no_bit():
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.append(list(_results()))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert not torch.equal(found[0][0], found[0][1])


@pytest.mark.parametrize("isa", ["v3", "baseline"])
def test_every_instruction_set_agrees(isa, tmp_path):
    path = tmp_path / "results.pt"
    code = f"import torch, test_op_attention_peak as t; torch.save(list(t._results()), {str(path)!r})"
    done = _python(code, RAS_EXT_ISA=isa)
    assert done.returncode == 0, done.stderr
    here, there = list(_results()), torch.load(path)
    assert all(torch.allclose(a, b, rtol=1e-5, atol=0) for a, b in zip(here, there, strict=True))
    assert not torch.allclose(here[0], there[0] * 1.0001, rtol=1e-5, atol=0)


def test_grouped_queries_are_those_over_repeated_keys(device, dtype):
    case = cases.attention(
        batch=1, heads=8, kv_heads=2, rows=70, keys=100, visual=50, width=48, dtype=dtype, device=device
    )
    case["heads"] = torch.arange(8, dtype=torch.int32, device=device)
    grouped = _result(case)
    assert torch.equal(_result({**case, "k": case["k"].repeat_interleave(4, dim=1)}), grouped)
    assert not torch.allclose(_result({**case, "k": case["k"].repeat(1, 4, 1, 1)}), grouped, rtol=1e-3)


def test_a_row_does_not_depend_on_the_rows_that_share_its_tile(device, dtype):
    case = _edge({"rows": 90, "keys": 200, "width": 40, "visual": 60}, dtype, device)
    case["heads"] = ints(1, device=device)
    rows = torch.arange(90, device=device)
    parts = [_result({**case, "text_rows": (rows % 3 == part)[None]}) for part in range(3)]
    assert torch.equal(torch.stack(parts).amax(0), _result(case))
    assert not torch.equal(parts[0], _result(case))


MEMORY = """
import resource, torch, ops_cases as cases
from ras_ext import ops, reference
torch.set_num_threads(2)
case = cases.attention(batch=1, heads=4, kv_heads=1, rows=256, keys={keys}, visual=576, width=8)
ops.attention_peak_(**cases.attention())
reference.attention_peak_(**cases.attention())
peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
for implementation in (ops, reference):
    implementation.attention_peak_(**case)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*(b - a for a, b in zip(peaks, peaks[1:])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_its_memory_does_not_grow_with_rows_times_keys():
    keys = 32_768
    done = _python(MEMORY.format(keys=keys))
    assert done.returncode == 0, done.stderr
    ours, written_out = (int(kib) for kib in done.stdout.split())
    matrix = 2 * 256 * keys * 4 // 1024  # KiB of the attention matrix of two heads
    assert ours < matrix / 8
    assert written_out > matrix


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a process of its own, beside these tests."""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    variables = {**os.environ, "PYTHONPATH": paths, **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)
