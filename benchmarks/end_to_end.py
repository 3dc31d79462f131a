"""What does the defence cost a request, from its first token to its last, and where does the time go?

``python benchmarks/end_to_end.py [--tokens 128] [--requests 32]``. The same requests of the organism's evaluation set,
every answer as long as asked for, contenders in turns, the median round counts. ``three prefills`` is the arrangement
without a shared prefix; at batch 1 it is how the method is usually run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ras_ext import Guard, load_vectors, models
from ras_ext.benchmark import record
from ras_ext.conversation import Request
from ras_ext.defenses import SafetyPrompt, build
from ras_ext.generation import answer
from ras_ext.items import load_items
from ras_ext.organism.queries import write_set
from ras_ext.prefix import share
from ras_ext.reformulate import looking, reformulate, visual_contexts
from ras_ext.states import first_logits

RESULTS = Path(__file__).resolve().parent / "results"
ORGANISM = "builtin:organism"
Contender = Callable[[list[Request], int], Any]


def contenders(model: Any, processor: Any, vectors: Any) -> dict[str, Contender]:
    """Name → what answers a batch with so many tokens a request."""
    warned = SafetyPrompt(model, processor, vectors.prompts)

    def guarded(**options: Any) -> Contender:
        guard = Guard(model, processor, vectors, **options)
        return lambda batch, tokens: guard.generate_batch(batch, max_new_tokens=tokens, min_new_tokens=tokens)

    def by_name(name: str) -> Contender:
        defense = build(name, model, processor, vectors)
        return lambda batch, tokens: defense.answer(batch, max_new_tokens=tokens, min_new_tokens=tokens)

    return {
        "undefended": lambda batch, tokens: answer(
            model, processor, batch, max_new_tokens=tokens, min_new_tokens=tokens
        ),
        "safety prompt": lambda batch, tokens: warned.answer(batch, max_new_tokens=tokens, min_new_tokens=tokens),
        **{name: by_name(name) for name in ("constant", "ecso", "coca")},
        "ras": guarded(),
        "ras, logits carrier": guarded(carrier="logits"),
        "ras, no visual context": guarded(context="never"),
        "ras, three prefills": guarded(prefill="separate"),
    }


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Wall time in seconds, the device's work included, and what came of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    found = work(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, found


def all_of(run: Contender, batches: list[list[Request]], tokens: int) -> None:
    """Answers every batch."""
    for batch in batches:
        run(batch, tokens)


def stages(model: Any, processor: Any, vectors: Any, batch: list[Request], rounds: int) -> dict[str, float]:
    """Milliseconds of the shared prefill and of stages 1 and 2 for a batch, each the median of some rounds."""
    prompts = vectors.prompts
    plain = [reformulate(request, "", prompts) for request in batch]
    found: dict[str, list[float]] = {"prefix_ms": [], "stage_1_ms": [], "stage_2_ms": []}
    for _ in range(rounds):
        spent, shared = timed(share, model, processor, batch, [looking(batch, prompts), plain])
        found["prefix_ms"].append(spent)
        spent, contexts = timed(visual_contexts, model, processor, batch, prompts, shared.run)
        found["stage_1_ms"].append(spent)
        judged = [reformulate(one, context, prompts) for one, context in zip(batch, contexts, strict=True)]
        spent, _ = timed(first_logits, model, processor, judged, vectors.n_score, shared.run)
        found["stage_2_ms"].append(spent)
    return {name: 1e3 * statistics.median(values) for name, values in found.items()}


def measure(batch: int, tokens: int, requests: list[Request], rounds: int) -> list[dict[str, Any]]:
    """One row a contender at one size of batch."""
    model, processor = models.load(ORGANISM)
    vectors = load_vectors(ORGANISM)
    batches = [requests[start : start + batch] for start in range(0, len(requests), batch)]
    named = contenders(model, processor, vectors)
    whole: dict[str, list[float]] = {name: [] for name in named}
    first: dict[str, list[float]] = {name: [] for name in named}
    for _ in range(rounds + 1):
        for name, run in named.items():
            whole[name].append(timed(all_of, run, batches, tokens)[0])
            first[name].append(timed(all_of, run, batches, 1)[0])
    total = {name: statistics.median(values[1:]) for name, values in whole.items()}  # the first round warms up
    parts = stages(model, processor, vectors, batches[0], rounds)
    return [
        {
            "defence": name,
            "batch": batch,
            "new_tokens": tokens,
            "requests_per_s": len(requests) / total[name],
            "relative_throughput": total["undefended"] / total[name],
            "first_token_ms": 1e3 * statistics.median(first[name][1:]) / len(batches),
            "whole_ms": 1e3 * total[name] / len(batches),
            **(parts if name == "ras" else dict.fromkeys(parts)),
        }
        for name in named
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        items = load_items(write_set("evaluation", folder, count=4 * given.requests))
        requests = [item.request() for item in items if item.image is not None][: given.requests]
    found: list[dict[str, Any]] = []
    for batch in given.batches:
        rows = measure(batch, given.tokens, requests, given.rounds)
        sys.stderr.write("\n".join(str(row) for row in rows) + "\n")
        found += rows
    folder = record.open_folder(given.results, torch.device("cpu"))
    print(record.write(folder / "end_to_end.csv", found))


if __name__ == "__main__":
    main()
