"""The CPU kernels' vectors: every length, every type, every instruction set and number of threads the same results."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ops_cases as cases
import pytest
import torch
from torch import Tensor

from ras_ext import ops, reference

# Every tail, without and with whole vectors of 16 and groups of four of them before it.
LENGTHS = [*range(1, 36), *range(63, 82), *range(127, 132)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SIXTEEN_BITS = [torch.float16, torch.bfloat16]


def _with_gaps(case: cases.Case, *names: str) -> cases.Case:
    """The named arguments with NaN after every row: reading past an end shows."""
    return {**case, **{name: cases.strided(case[name]) for name in names}}


def _gap(t: Tensor) -> Tensor:
    """The unused elements `cases.strided` left after the rows of a matrix."""
    return t.as_strided((t.shape[0], 3), (t.stride(0), 1), t.storage_offset() + t.shape[1])


@pytest.mark.parametrize("length", LENGTHS)
def test_steering_and_norm_work_for_every_length_and_touch_nothing_else(dtype, length):
    steer = _with_gaps(cases.steer(hidden=length, dtype=dtype), "x", "prototypes")
    other = cases.copied(steer)
    ops.steer_(**steer)
    reference.steer_(**other)
    assert torch.equal(steer["x"], other["x"])
    assert _gap(steer["x"]).isnan().all()

    norm = _with_gaps(cases.norm(hidden=length, dtype=dtype), "x", "out", "residual", "prototypes")
    other = cases.copied(norm)
    ops.add_rms_norm_steer_(**norm)
    reference.add_rms_norm_steer_(**other)
    assert torch.equal(norm["residual"], other["residual"])
    near = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}[dtype]
    assert torch.allclose(norm["out"], other["out"], rtol=near, atol=near)
    other["out"][:, -1] += 0.1
    assert not torch.allclose(norm["out"], other["out"], rtol=near, atol=near)
    assert _gap(norm["out"]).isnan().all()
    assert _gap(norm["residual"]).isnan().all()


@pytest.mark.parametrize("length", LENGTHS)
def test_scores_and_regions_count_every_column_once(dtype, length):
    score = cases.score(vocabulary=length, dtype=dtype)
    score["logits"][..., -1] = score["logits"].amax(-1)  # so that it counts
    score = _with_gaps(score, "logits")
    wanted = reference.risk_score(**cases.exact(score))[0]
    assert torch.allclose(ops.risk_score(**score)[0].double(), wanted, rtol=2e-6)
    score["logits"][..., -1] = -torch.inf
    assert length == 1 or not torch.allclose(ops.risk_score(**score)[0].double(), wanted, rtol=2e-6)

    regions = _with_gaps(cases.regions(hidden=length, dtype=dtype), "hidden")
    wanted = reference.region_risk(**cases.exact(regions))[1]
    assert torch.allclose(ops.region_risk(**regions)[1].double(), wanted, rtol=1e-5)
    regions["hidden"][..., -1] += 2
    assert not torch.allclose(ops.region_risk(**regions)[1].double(), wanted, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 13, 24, 25, 40])
def test_any_number_of_steps_is_scored(steps):
    score = cases.score(batch=2, steps=steps, vocabulary=9001)
    score["gamma"] = 0.9
    wanted = reference.risk_score(**cases.exact(score))[0]
    got = ops.risk_score(**score)[0].double()
    assert torch.allclose(got, wanted, rtol=2e-6)
    swapped = {**cases.exact(score), "logits": score["logits"].double().flip(1)}
    assert steps == 1 or not torch.allclose(got, reference.risk_score(**swapped)[0], rtol=2e-6)


def test_rows_of_few_and_of_many_steps_are_scored_in_one_batch():
    score = cases.score(batch=4, steps=40, vocabulary=5000)
    score["length"] = cases.ints(40, 3, 25, 0)
    similarity, risk = ops.risk_score(**score)
    wanted = reference.risk_score(**cases.exact(score))
    assert torch.allclose(similarity.double(), wanted[0], rtol=2e-6)
    assert torch.allclose(risk.double(), wanted[1], rtol=1e-5)
    alone = {**score, "logits": score["logits"][1:2, :3], "length": cases.ints(3)}
    assert torch.equal(ops.risk_score(**alone)[0][0], similarity[1])


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_a_row_of_many_steps_with_a_broken_one_is_steered_in_full(broken):
    score = cases.score(batch=2, steps=30, vocabulary=5000)
    sound = ops.risk_score(**score)[1]
    score["logits"][0, 7] = broken
    similarity, risk = ops.risk_score(**score)
    assert similarity[0].isnan()
    assert risk[0] == 1
    assert sound[0] < 1
    assert risk[1] == sound[1]


@pytest.mark.parametrize("padding", [0, 16])
def test_the_exponential_is_exact_to_a_few_roundings_over_its_whole_range(padding):
    # Logits (0, -x) and a prototype of the second: S = e^-x / sqrt(1 + e^-2x).
    x = torch.linspace(0, 43, 20_000)  # the square of e^-x must be a normal number too
    logits = torch.full((len(x), 1, 2 + padding), -torch.inf)
    logits[:, 0, 0], logits[:, 0, 1] = 0, -x
    prototype = torch.zeros(2 + padding)
    prototype[1] = 1
    length = torch.ones(len(x), dtype=torch.int32)
    similarity = ops.risk_score(logits, length, prototype, 1.0, 1.0, 0.0)[0].double()
    e = torch.exp(-x.double())
    error = (similarity / (e / torch.sqrt(1 + e * e)) - 1).abs().max()
    assert error < 4 * torch.finfo(torch.float32).eps, f"relative error {error:.3g}"
    assert error > 0


@pytest.mark.parametrize("dtype", SIXTEEN_BITS, ids=["f16", "bf16"])
def test_every_sixteen_bit_number_is_read_and_written_as_it_is(dtype):
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    wide, narrow = torch.zeros(1, 2**16), torch.zeros(1, 2**16, dtype=dtype)
    for x in (wide, narrow):
        _overwrite(x, numbers.view(dtype))
    wanted = numbers.view(dtype)
    nan = wanted.isnan()
    assert torch.equal(wide[0][~nan], wanted.float()[~nan])
    assert torch.equal(narrow[0].view(torch.int16)[~nan], numbers[~nan])
    assert wide[0][nan].isnan().all()
    assert narrow[0][nan].isnan().all()


@pytest.mark.parametrize("dtype", SIXTEEN_BITS, ids=["f16", "bf16"])
def test_narrowing_rounds_to_nearest_even_and_keeps_a_nan_a_nan(dtype):
    every = torch.randint(-(2**31), 2**31, (200_000,), dtype=torch.int64).to(torch.int32).view(torch.float32)
    below = torch.arange(0, 2**15, dtype=torch.int32).to(torch.int16).view(dtype).float()
    ties = (below[:-1].double() + below[1:].double()) / 2  # half way between neighbours, subnormal and largest included
    ties = ties[ties.isfinite()].float()
    special = torch.tensor([0x7F800001, 0x7FFFFFFF, 0x477FEFFF, 0x477FF000, 0x33000000, 0x33000001], dtype=torch.int32)
    values = torch.cat([every, ties, -ties, special.view(torch.float32), -special.view(torch.float32)])
    x = torch.zeros(1, len(values), dtype=dtype)
    _overwrite(x, values)
    wanted = values.to(dtype)
    nan = values.isnan()
    assert nan.any()
    assert x[0][nan].isnan().all()
    assert torch.equal(x[0][~nan].view(torch.int16), wanted[~nan].view(torch.int16))


def _overwrite(x: Tensor, values: Tensor) -> None:
    """Writes `values` into x's only row, through the steering in full."""
    zero = cases.ints(0)
    ops.steer_(x, zero, values.view(1, 1, -1), zero, zero, torch.ones(1))


def _results() -> Iterator[Tensor]:
    """Every operator at sizes that cross vectors, tiles, slices and threads, for every type; the same on each call."""
    torch.manual_seed(5)
    for dtype in DTYPES:
        for hidden in (5, 37, 129, 4099):
            steer = cases.steer(batch=9, n_rows=11, hidden=hidden, dtype=dtype, prototype_dtype=torch.float32)
            steer["x"][3] *= 1e-3
            norm = cases.norm(batch=9, n_rows=40, hidden=hidden, dtype=dtype)
            ops.steer_(**steer)
            ops.add_rms_norm_steer_(**norm)
            yield from (steer["x"], norm["out"], norm["residual"])
            yield from ops.region_risk(**cases.regions(tokens=50, hidden=hidden, dtype=dtype))


def _scores() -> Iterator[Tensor]:
    """The same for ``risk_score``, which multiplies and adds in one rounding where the machine can."""
    torch.manual_seed(6)
    for dtype in DTYPES:
        for steps, vocabulary in ((3, 31), (3, 20_011), (9, 5000), (30, 4500)):
            yield from ops.risk_score(**cases.score(steps=steps, vocabulary=vocabulary, dtype=dtype))


def _same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) > 0 and all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("isa", ["v3", "baseline"])
def test_every_instruction_set_gives_the_same_bits(isa, tmp_path):
    path = tmp_path / "results.pt"
    code = f"import torch, test_cpu_simd as t; torch.save([list(t._results()), list(t._scores())], {str(path)!r})"
    done = _python(code, isa)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        here, scores = list(_results()), list(_scores())
    there, scores_there = torch.load(path)
    assert _same(here, there)
    there[0] += 1e-3
    assert not _same(here, there)
    for one, other in zip(scores, scores_there, strict=True):
        assert torch.allclose(one, other, rtol=2e-6)
        assert not torch.allclose(one + 1e-4, other, rtol=2e-6)


def test_an_instruction_set_that_is_none_is_named_in_the_error():
    done = _python("import test_cpu_simd as t; next(t._results())", "avx1024")
    assert "RAS_EXT_ISA must be v4, v3, baseline or unset, got avx1024" in done.stderr


def _python(code: str, isa: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` where the compiled kernels are limited to `isa`; they look at the environment once a process."""
    paths = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "RAS_EXT_ISA": isa, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_one_thread_two_and_four_give_the_same_bits():
    threads = torch.get_num_threads()
    found = {}
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found[count] = [*_results(), *_scores()]
    finally:
        torch.set_num_threads(threads)
    assert _same(found[1], found[2])
    assert _same(found[1], found[4])
