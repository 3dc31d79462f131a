"""How near does each operator come to what this GPU can do at all, and does it meet its aim?

``python benchmarks/gpu_limits.py [--no-compile]``. The floor is the larger of bytes over the measured copy rate and
operations over the measured rate of a product of matrices, both by the launch plan; a launch itself takes 2 to 2.5 us
and is not in it. The aims were set before anything was measured, for an H200.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from ras_ext import benchmark
from ras_ext.benchmark import limits, plots, record
from ras_ext.benchmark.cases import LLAVA, case
from ras_ext.benchmark.rows import Row
from ras_ext.cli.progress import Watch

RESULTS = Path(__file__).resolve().parent / "results"
LONG = {"heads": 28, "kv_heads": 4, "chosen": 28, "rows": 256, "keys": 16_384, "visual": 16_128, "width": 128}
# Operator, sizes, aim in microseconds. The last makes two passes over its scores: 70 us each.
AIMS: tuple[tuple[str, dict[str, int], float], ...] = (
    ("risk_score", {"batch": 64, "vocabulary": 151_936}, 18.0),
    ("risk_score", {"batch": 1, "vocabulary": 32_064}, 6.0),
    ("steer_", {"batch": 64, "hidden": 4096}, 3.0),
    ("attention_peak_", {"batch": 1, **LLAVA}, 10.0),
    ("attention_peak_", {"batch": 1, **LONG}, 140.0),
)
COPIED = 2**30


def told(row: Row, aim: float, copy: float, gemm: float) -> dict[str, Any]:
    """A row with its floor and whether it meets its aim."""
    floor = None
    if row.bytes is not None and row.flops is not None:
        floor = max(row.bytes / copy / 1e3, row.flops / gemm / 1e6)
    return {
        **row.to_dict(),
        "copy_gb_per_s": copy,
        "gemm_tflop_per_s": gemm,
        "floor_us": floor,
        "aim_us": aim,
        "met": "yes" if row.us <= aim else "no",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_limits: skipped, torch sees no GPU here")
        return
    device = torch.device("cuda")
    copy = limits.copy_gb_per_s(COPIED, device)
    gemm = limits.gemm_tflop_per_s(torch.bfloat16, device)
    sys.stderr.write(f"copy {copy:.0f} GB/s, bf16 product {gemm:.0f} TFLOP/s\n")
    cases = [case(op, sizes, torch.bfloat16, device) for op, sizes, _ in AIMS]
    with Watch() as watch:
        rows = benchmark.run(cases, caches=("cold", "hot"), compile=not given.no_compile, progress=watch)
    aims = {(one.op, one.shape): aim for one, (_, _, aim) in zip(cases, AIMS, strict=True)}
    folder = record.open_folder(given.results, device)
    found = [told(row, aims[row.op, row.shape], copy, gemm) for row in rows]
    record.write(folder / "gpu_limits.csv", found)
    plots.speedups(folder / "gpu_limits.png", rows, f"{rows[0].machine}: {copy:.0f} GB/s, {gemm:.0f} TFLOP/s")
    print(folder / "gpu_limits.csv")


if __name__ == "__main__":
    main()
