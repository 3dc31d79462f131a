"""What does the defence cost a request, from its first token to its last, and where does the time go?

``python benchmarks/end_to_end.py [--subject organism|llava-1.5-7b-shape] [--tokens 128] [--batches 1 8]``. The same
requests for all, contenders in turns, the median round counts. Every answer is as long as asked for, and once more as
long as the model makes it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contenders import COMPILED, RAS, THREE, UNDEFENDED, Contender, contenders
from peak_memory import peak_bytes
from subjects import NAMES, Subject, subject

from ras_ext.benchmark import record
from ras_ext.conversation import Request
from ras_ext.prefix import share
from ras_ext.reformulate import looking, reformulate, visual_contexts
from ras_ext.states import first_logits

RESULTS = Path(__file__).resolve().parent / "results"
OWN = "own"  # answers as long as the model makes them
LONGEST = 128  # of those
# Whose memory is measured.
WEIGHED = (UNDEFENDED, "safety prompt", RAS, f"{UNDEFENDED}, {COMPILED}", f"{RAS}, {COMPILED}")
STAGES = ("encode_ms", "stage_1_ms", "stage_2_ms")


def timed(work: Callable[..., Any], *arguments: Any, **settings: Any) -> tuple[float, Any]:
    """Wall time in seconds, the device's work included, and what came of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    found = work(*arguments, **settings)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, found


def all_of(run: Contender, batches: list[list[Request]], tokens: int | str) -> None:
    """Answers every batch."""
    for batch in batches:
        if isinstance(tokens, str):
            run(batch, LONGEST)
        else:
            run(batch, tokens, min_new_tokens=tokens)


def stages(on: Subject, batch: list[Request], rounds: int) -> dict[str, float]:
    """Milliseconds until a batch is encoded, and of stages 1 and 2, each the median of some rounds."""
    prompts = on.vectors.prompts
    plain = [reformulate(request, "", prompts) for request in batch]
    found: dict[str, list[float]] = {name: [] for name in STAGES}
    for _ in range(rounds + 1):
        spent, shared = timed(share, on.model, on.processor, batch, [looking(batch, prompts), plain])
        found["encode_ms"].append(spent)
        spent, contexts = timed(visual_contexts, on.model, on.processor, batch, prompts, shared.greedy)
        found["stage_1_ms"].append(spent)
        judged = [reformulate(one, context, prompts) for one, context in zip(batch, contexts, strict=True)]
        spent, _ = timed(first_logits, on.model, on.processor, judged, on.vectors.n_score, shared.greedy)
        found["stage_2_ms"].append(spent)
    return {name: 1e3 * statistics.median(values[1:]) for name, values in found.items()}


def heights(on: Subject, compile: bool, batch: int, tokens: int) -> dict[str, int]:
    """Bytes held at the height of one batch, by each contender alone."""
    found = {}
    for name in [name for name in contenders(on, compile=compile) if name in WEIGHED]:
        if hasattr(on.model, "_cache"):
            del on.model._cache  # of fixed size, kept by transformers for the next answer
        gc.collect()
        run = contenders(on, compile=compile)[name]
        warm = tokens if COMPILED in name else 2  # so that graphs and caches are there that fit
        run(on.requests[:batch], warm, min_new_tokens=warm)
        found[name] = peak_bytes(partial(all_of, run, [on.requests[:batch]], tokens), on.model)
    return found


def measure(
    on: Subject, compile: bool, batch: int, tokens: int | str, rounds: int, each: int | None, *, peaks: bool
) -> list[dict[str, Any]]:
    """One row a contender at one size of batch."""
    highest = heights(on, compile, batch, tokens) if peaks and isinstance(tokens, int) else {}
    batches = [on.requests[start : start + batch] for start in range(0, len(on.requests), batch)][:each]
    asked = sum(map(len, batches))
    named = contenders(on, compile=compile)
    if batch > 1:
        del named[THREE]  # it takes one request at a time: that is its row of batch 1
    whole: dict[str, list[float]] = {name: [] for name in named}
    first: dict[str, list[float]] = {name: [] for name in named}
    for number in range(rounds + 1):  # the first round warms up
        for name, run in named.items():
            if number or COMPILED in name or on.name == NAMES[0]:
                whole[name].append(timed(all_of, run, batches, tokens)[0])
            first[name].append(timed(all_of, run, batches, 1)[0])
    total = {name: statistics.median(values[-rounds:]) for name, values in whole.items()}
    return [
        {
            "subject": on.name,
            "defence": name,
            "batch": batch,
            "new_tokens": tokens,
            "requests_per_s": asked / total[name],
            "relative_throughput": total[UNDEFENDED] / total[name],
            "first_token_ms": 1e3 * statistics.median(first[name][-rounds:]) / len(batches),
            "whole_ms": 1e3 * total[name] / len(batches),
            **(stages(on, batches[0], rounds) if name == RAS else dict.fromkeys(STAGES)),
            "peak_mb": highest[name] / 1e6 if name in highest else None,
            "relative_peak": highest[name] / highest[UNDEFENDED] if name in highest else None,
        }
        for name in named
    ]


def against_three_prefills(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the throughput against three prefills for one request at a time, for answers of equal length."""
    alone = {row["new_tokens"]: row["requests_per_s"] for row in rows if row["defence"] == THREE and row["batch"] == 1}
    return [
        {**row, "times_three_prefills": row["requests_per_s"] / alone[row["new_tokens"]] if alone else None}
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=NAMES, default=NAMES[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--requests", type=int, default=32, help="at least as many as the largest batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--batches-each", type=int, help="how many batches a round has; all requests by default")
    parser.add_argument("--layers", type=int, help="of the shape's decoder, instead of its 32")
    parser.add_argument("--compile", type=int, nargs="*", default=[1, 8], help="batches to compile decoding for")
    parser.add_argument("--no-own", action="store_true", help="leave out answers of the model's own length")
    parser.add_argument("--no-peaks", action="store_true", help="leave out the height of the memory")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    device = torch.device(given.device)
    on = subject(given.subject, given.requests, device, given.layers)
    found: list[dict[str, Any]] = []
    for tokens in (given.tokens, *([] if given.no_own else [OWN])):
        for batch in given.batches:
            rows = measure(
                on, batch in given.compile, batch, tokens, given.rounds, given.batches_each, peaks=not given.no_peaks
            )
            sys.stderr.write("\n".join(str(row) for row in rows) + "\n")
            found += rows
    folder = record.open_folder(given.results, device)
    suffix = "" if on.name == NAMES[0] else f"_{on.name}"
    print(record.write(folder / f"end_to_end{suffix}.csv", against_three_prefills(found)))


if __name__ == "__main__":
    main()
