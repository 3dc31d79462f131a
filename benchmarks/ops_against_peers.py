"""How much faster are the operators than eager torch, torch.compile and published kernels, in one run on this machine?

``python benchmarks/ops_against_peers.py [--device cpu|cuda] [--threads N ...] [--quick]``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ras_ext import benchmark
from ras_ext.benchmark import plots, record
from ras_ext.benchmark.rows import Row
from ras_ext.cli.progress import Watch

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, nargs="+", help="CPU threads, one run each", default=None)
    parser.add_argument("--quick", action="store_true", help="the selection of ras-ext bench instead of all shapes")
    parser.add_argument("--op", action="append", default=[], help="these operators only")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    device = torch.device(given.device)
    cases = benchmark.select(device, ops=given.op, full=not given.quick)
    on_cpu = device.type == "cpu"
    rows: list[Row] = []
    for threads in (given.threads or sorted({1, torch.get_num_threads()})) if on_cpu else (None,):
        if threads:
            sys.stderr.write(f"{len(cases)} cases on {threads} threads\n")
        with Watch() as watch:
            rows += benchmark.run(
                cases, threads=threads, caches=("hot",) if on_cpu else ("cold", "hot"), progress=watch
            )
    folder = record.open_folder(given.results, device)
    record.write(folder / "ops_against_peers.csv", [row.to_dict() for row in rows])
    plots.speedups(folder / "ops_against_peers.png", rows, f"{rows[0].machine}, torch {torch.__version__}")
    print(folder / "ops_against_peers.csv")


if __name__ == "__main__":
    main()
