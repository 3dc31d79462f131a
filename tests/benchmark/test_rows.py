"""Rows of a run: their times and rates fit together, bytes are the plans', and what is missing is said."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ras_ext import plans
from ras_ext.benchmark import limits, machine, timer, traffic
from ras_ext.benchmark.cases import select
from ras_ext.benchmark.operators import OPERATORS
from ras_ext.benchmark.rows import run
from ras_ext.errors import InputError
from tests.benchmark.small import CPU, SIZES, small

QUICK = {"compile": False, "block_seconds": 1e-4}


def test_ratios_and_rates_follow_from_the_times() -> None:
    rows = run([small(op) for op in SIZES], caches=("hot", "cold"), threads=1, **QUICK)
    assert [(row.op, row.cache) for row in rows] == [(op, cache) for op in SIZES for cache in ("hot", "cold")]
    for row in rows:
        assert row.us > 0
        assert row.us_low <= row.us <= row.us_high
        assert row.speedup_eager == pytest.approx(row.eager_us / row.us)
        assert (row.compile_us, row.speedup_compile, row.compiled) == (None, None, None)
        assert row.bytes is not None
        assert row.gb_per_s == pytest.approx(row.bytes / row.us / 1e3)
        assert row.limit_gb_per_s is not None
        assert row.fraction_of_limit == pytest.approx(row.gb_per_s / row.limit_gb_per_s)
        assert row.threads == 1
        assert row.machine == machine.name(CPU)
    assert "llama norm" in rows[2].peers


def test_a_run_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    run([small("steer_")], threads=before + 1, **QUICK)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("op", OPERATORS)
def test_every_plan_is_asked_with_the_sizes_it_names(op: str) -> None:
    case = small(op)
    found = traffic.traffic(case)
    assert found.why == ""
    wanted = plans.operators()[op]
    sizes = {name: traffic.plan_sizes(case)[name] for name in wanted}
    assert found.bytes == plans.plan(op, **sizes).bytes
    tensors = [v for v in case.arguments().values() if isinstance(v, torch.Tensor)]
    # Nothing but what stands in the arguments moves, read and written once; and a good part of it does.
    assert 0.1 < found.bytes / sum(t.numel() * t.element_size() for t in tensors) < 2.1


def test_without_plans_bytes_are_null_and_the_row_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "why_missing", lambda: "the compiled module is not there")
    (row,) = run([small("steer_")], **QUICK)
    nulls = (row.bytes, row.gb_per_s, row.limit_gb_per_s, row.fraction_of_limit, row.flops, row.tflop_per_s)
    assert nulls == (None,) * 6
    assert "bytes are not known: the compiled module is not there" in row.remark
    assert row.us > 0


COMPILED = """
import torch
from ras_ext.benchmark.rows import run
from tests.benchmark.small import small
(row,) = run([small("steer_")], threads=1, block_seconds=1e-4)
print([row.compile_us, row.speedup_compile, row.us, row.compiled, row.remark])
"""


def alone(program: str, folder: Path, **environ: str) -> list[object]:
    """Runs a program that prints a list, with a compiler cache of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout.strip().splitlines()[-1])
    assert isinstance(found, list)
    return found


def test_torch_compile_takes_part_and_the_row_says_how(tmp_path: Path) -> None:
    compile_us, speedup, us, how, _ = alone(COMPILED, tmp_path)
    assert isinstance(compile_us, float)
    assert isinstance(us, float)
    assert speedup == pytest.approx(compile_us / us)
    assert how == "torch.compile(dynamic=False, fullgraph=True), inductor C++, threads=1"


def test_without_a_compiler_the_compile_fields_are_null_and_one_sentence_says_why(tmp_path: Path) -> None:
    compile_us, speedup, us, how, remark = alone(COMPILED, tmp_path, CXX="no-such-compiler")
    assert (compile_us, speedup, how) == (None, None, None)
    assert isinstance(us, float)
    assert "torch.compile is not possible here: " in str(remark)
    assert "No working C++ compiler found" in str(remark)


def test_the_timer_tells_slow_from_quick_and_takes_the_median() -> None:
    times = timer.measure(
        {"slow": [lambda: time.sleep(0.004)], "quick": [lambda: time.sleep(0.001)]}, CPU, blocks=5, block_seconds=0.002
    )
    assert times["slow"].us > 4000
    assert times["quick"].us > 1000
    assert times["quick"].us < times["slow"].us
    assert times["slow"].blocks == 5
    with pytest.raises(ValueError, match="at least 5 blocks"):
        timer.measure({}, CPU, blocks=4)


def test_rotating_contenders_go_on_where_the_one_before_stopped() -> None:
    touched: list[int] = []
    calls = [lambda place=place: touched.append(place) for place in range(7)]
    timer.measure({"a": calls, "b": calls}, CPU, blocks=5, block_seconds=1e-5)
    assert len(touched) > 14
    assert touched == [place % 7 for place in range(len(touched))]


def test_limits_are_rates_and_cold_buffers_are_many() -> None:
    assert 0 < limits.copy_gb_per_s(1 << 16, CPU) < 1e5
    assert 0 < limits.gemm_tflop_per_s(torch.float32, CPU, 64) < 1e4
    assert limits.sets(1 << 20, CPU, "hot") == 1
    assert limits.sets(1 << 20, CPU, "cold") * (1 << 20) > machine.rotation_bytes(CPU)


def test_a_selection_is_of_what_was_asked_for() -> None:
    quick, full = select(CPU), select(CPU, full=True)
    assert {case.op for case in quick} == set(OPERATORS)
    assert {case.dtype_name for case in quick} == {"float32", "bfloat16"}
    assert set(quick) < set(full)
    (one,) = select(CPU, ops=["steer_"], dtypes=["float16"], shapes=["B=64 D=151936"])
    assert (one.op, one.shape, one.dtype) == ("steer_", "B=64 D=151936", torch.float16)
    for wrong in ({"ops": ["fly"]}, {"dtypes": ["int8"]}, {"shapes": ["B=7"]}):
        with pytest.raises(InputError, match="known are"):
            select(CPU, **wrong)
