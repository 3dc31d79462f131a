"""How near does each memory-bound operator come to the rate at which this machine copies, as its sizes grow?

``python benchmarks/near_the_limit.py [--device cpu|cuda] [--threads N]``. Hot and cold caches; bytes as the launch
plans count them; the copy moves as many bytes on as many threads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ras_ext import benchmark, plans
from ras_ext.benchmark import plots, record
from ras_ext.benchmark.cases import DTYPES, Case, case
from ras_ext.cli.progress import Watch

RESULTS = Path(__file__).resolve().parent / "results"
BATCHES = (1, 4, 16, 64)
WIDTHS: dict[str, dict[str, int]] = {
    "steer_": {"hidden": 4096},
    "add_rms_norm_steer_": {"hidden": 4096},
    "risk_score": {"vocabulary": 32_064},
    "region_risk": {"tokens": 576, "hidden": 4096, "n_regions": 16},
}
COLUMNS = ("op", "shape", "dtype", "cache", "threads", "bytes", "us", "gb_per_s", "limit_gb_per_s", "fraction_of_limit")


def cases(device: torch.device, dtype: torch.dtype) -> list[Case]:
    """Growing batches, of the operators that have a launch plan."""
    planned = plans.operators()
    return [
        case(op, {"batch": batch, **widths}, dtype, device)
        for op, widths in WIDTHS.items()
        for batch in BATCHES
        if op in planned
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if why := plans.why_missing():
        sys.exit(f"near_the_limit: how many bytes must move is not known: {why}")
    device = torch.device(given.device)
    with Watch() as watch:
        rows = benchmark.run(
            cases(device, DTYPES[given.dtype]),
            threads=given.threads,
            caches=("hot", "cold"),
            compile=False,
            progress=watch,
        )
    folder = record.open_folder(given.results, device)
    told = [{name: row.to_dict()[name] for name in COLUMNS} for row in rows]
    record.write(folder / "near_the_limit.csv", told)
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.bytes is not None and row.fraction_of_limit is not None:
            series.setdefault(f"{row.op} {row.cache}", []).append((row.bytes / 1e6, row.fraction_of_limit))
    plots.lines(
        folder / "near_the_limit.png",
        series,
        f"{rows[0].machine}, {given.dtype}",
        "megabytes that must move",
        "share of the rate of a copy of as many bytes",
        mark=1.0,
    )
    print(folder / "near_the_limit.csv")


if __name__ == "__main__":
    main()
