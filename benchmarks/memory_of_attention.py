"""How much memory does the strongest attention per visual token take, as text rows times keys grow?

``python benchmarks/memory_of_attention.py [--device cpu|cuda] [--dtype float32]``. Each measurement is a process of its
own: the highest resident memory during one call (on a GPU the highest allocated) above what was there before it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ras_ext.benchmark import plots, record
from ras_ext.benchmark.cases import DTYPES, case
from ras_ext.benchmark.machine import name

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = ((64, 640), (128, 1280), (256, 2560), (512, 4096), (1024, 8192))  # text rows, keys
CONTENDERS = ("ours", "eager")


def one(contender: str, rows: int, keys: int, dtype: str, device: torch.device) -> int:
    """Bytes that one call takes at its height."""
    sizes = {"batch": 1, "heads": 8, "kv_heads": 8, "chosen": 8, "width": 128}
    small = case("attention_peak_", {**sizes, "rows": 8, "keys": 16, "visual": 8}, DTYPES[dtype], device)
    real = case("attention_peak_", {**sizes, "rows": rows, "keys": keys, "visual": keys - rows}, DTYPES[dtype], device)
    function = real.operator.ours if contender == "ours" else real.operator.eager
    function(**(small.arguments() if contender == "ours" else small.peer_arguments()))  # threads, libraries
    arguments = real.arguments() if contender == "ours" else real.peer_arguments()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function(**arguments)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    before = _start_watching()
    function(**arguments)
    return max(_highest() - before, 0)


def _start_watching() -> int:
    """Forgets the highest resident memory so far, where the system can; returns what is resident."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _highest()
    return _highest()


def _highest() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--largest", type=int, default=SIZES[-1][0], help="most text rows to measure")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "ROWS", "KEYS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = torch.device(given.device)
    if given.one:
        with torch.no_grad():
            print(json.dumps(one(given.one[0], int(given.one[1]), int(given.one[2]), given.dtype, device)))
        return
    found: list[dict[str, Any]] = []
    for rows, keys in (size for size in SIZES if size[0] <= given.largest):
        row: dict[str, Any] = {"text_rows": rows, "keys": keys, "dtype": given.dtype}
        for contender in CONTENDERS:
            words = [sys.executable, __file__, "--device", given.device, "--dtype", given.dtype]
            done = subprocess.run(
                [*words, "--one", contender, str(rows), str(keys)], stdout=subprocess.PIPE, text=True, check=True
            )
            row[f"{contender}_mb"] = json.loads(done.stdout) / 1e6
        found.append(row)
        sys.stderr.write(", ".join(f"{key} {value}" for key, value in row.items()) + "\n")
    folder = record.open_folder(given.results, device)
    record.write(folder / "memory_of_attention.csv", found)
    # Zero has no place on a logarithmic scale; a call that takes nothing is drawn at a tenth of a megabyte.
    series = {c: [(row["text_rows"] * row["keys"], max(row[f"{c}_mb"], 0.1)) for row in found] for c in CONTENDERS}
    plots.lines(
        folder / "memory_of_attention.png",
        series,
        f"{name(device)}, {given.dtype}, 8 heads of 128",
        "text rows x keys",
        "megabytes at the height of one call",
        log_y=True,
    )
    print(folder / "memory_of_attention.csv")


if __name__ == "__main__":
    main()
