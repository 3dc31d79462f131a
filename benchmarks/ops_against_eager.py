"""How much faster are the compiled CPU ops than a plain composition in eager torch, in one run on this machine?

``python benchmarks/ops_against_eager.py [--threads N] [--csv FILE]``. Median of at least 0.3 s of runs each.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.benchmark import Timer

from ras_ext import compiled, ops

Case = tuple[str, str, Callable[[], object], Callable[[], object]]


def eager_steer(x: Tensor, rows: Tensor, prototypes: Tensor, slot: Tensor, step: Tensor, risk: Tensor) -> None:
    """What a user would write: no checks, no special cases."""
    x[rows] = torch.lerp(x[rows], prototypes[slot, step], risk[:, None])


def eager_risk_score(
    logits: Tensor, length: Tensor, prototype: Tensor, gamma: float, alpha: float, s_base: float
) -> tuple[Tensor, Tensor]:
    """The formula, for rows whose steps are all real."""
    weights = gamma ** torch.arange(logits.shape[1], dtype=torch.float32)
    mixture = (logits.softmax(-1) * weights[:, None]).sum(1)
    similarity = torch.cosine_similarity(mixture, prototype[None], dim=-1)
    return similarity, torch.sigmoid(alpha * (similarity - s_base))


def cases() -> Iterator[Case]:
    """(op, shape, compiled call, eager call)"""
    for batch, width in ((1, 4096), (64, 4096), (8, 32_064)):
        x = torch.randn(batch, width)
        index = torch.arange(batch, dtype=torch.int32)
        where = torch.zeros(batch, dtype=torch.int32)
        arguments = (x, index, torch.randn(1, 3, width), where, where, torch.full((batch,), 0.5))
        yield "steer_", f"B={batch} D={width}", partial(ops.steer_, *arguments), partial(eager_steer, *arguments)
    for batch, vocabulary in ((1, 32_064), (8, 32_064), (8, 151_936)):
        score = (
            torch.randn(batch, 3, vocabulary),
            torch.full((batch,), 3, dtype=torch.int32),
            torch.rand(vocabulary),
            0.3,
            12.0,
            0.7,
        )
        yield (
            "risk_score",
            f"B={batch} N=3 V={vocabulary}",
            partial(ops.risk_score, *score),
            partial(eager_risk_score, *score),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--csv", help="write the rows there as well")
    given = parser.parse_args()
    if not compiled.status().cpu_ops:
        sys.exit(f"the compiled library is not loaded: {compiled.status().why}")
    rows = []
    for op, shape, ours, eager in cases():
        timers = [Timer("call()", globals={"call": call}, num_threads=given.threads) for call in (ours, eager)]
        seconds = [timer.blocked_autorange(min_run_time=0.3).median for timer in timers]
        rows.append((op, shape, *(f"{1e6 * s:.1f}" for s in seconds), f"{seconds[1] / seconds[0]:.2f}"))
    header = ("op", "shape", "us", "eager_us", "speedup_eager")
    table = Table(*header, title=f"f32, {given.threads} threads, torch {torch.__version__}")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if given.csv:
        with open(given.csv, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main()
