"""What does the defence cost inside vLLM, and how does that compare to the guard in transformers?

``python benchmarks/in_vllm.py [--tokens 128] [--batch 32] [--requests 128] [--rounds 5]`` in an environment with vLLM.
The same requests of the organism for all, contenders in turns, the median round counts; every answer as long as asked
for, once all alike and once of mixed lengths, where an engine fills the seats that short answers leave. Engines that
wait take no processor time (checked, and said if it is not so).
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from ras_ext.benchmark import machine, record
from ras_ext.items import Item, load_items
from ras_ext.models.load import locate
from ras_ext.organism import queries

ORGANISM = "builtin:organism"
RESULTS = Path(__file__).resolve().parent / "results"
PLAIN, IDLE, STEERING, THREE = "vllm", "vllm, defence idle", "vllm, steering alone", "vllm, three stages"
GUARD, GENERATE = "transformers guard", "transformers undefended"
SAME, MIXED = "same", "mixed"

# conversations or requests, and the answer's length of each → nothing; answers are that long
Contender = Callable[[Sequence[Any], Sequence[int]], None]


def conversation(item: Item) -> list[dict[str, Any]]:
    """An item in OpenAI's form."""
    assert item.image is not None
    picture = {"type": "image_pil", "image_pil": Image.open(item.image).convert("RGB")}
    return [{"role": "user", "content": [picture, {"type": "text", "text": item.text}]}]


def engines(batch: int, *, eager: bool) -> tuple[dict[str, Contender], list[Callable[[], None]]]:
    """The contenders in vLLM, and what ends their engines."""
    from vllm import LLM, SamplingParams

    from ras_ext.serve import GuardedLLM

    settings: dict[str, Any] = {
        "dtype": "float32",
        "max_model_len": 256,
        "max_num_seqs": batch,
        "block_size": 32,
        "limit_mm_per_prompt": {"image": 1},
        "enforce_eager": eager,
        "disable_log_stats": True,
    }
    plain = LLM(locate(ORGANISM), **settings)
    guarded = GuardedLLM(ORGANISM, ORGANISM, **settings)

    def asked(lengths: Sequence[int]) -> list[Any]:
        return [SamplingParams(temperature=0.0, max_tokens=length, ignore_eos=True) for length in lengths]

    def undefended(talks: Sequence[Any], lengths: Sequence[int]) -> None:
        plain.chat(list(talks), asked(lengths), use_tqdm=False)

    def at_risk(risk: float | None) -> Contender:
        def run(talks: Sequence[Any], lengths: Sequence[int]) -> None:
            guarded.chat(talks, asked(lengths), risk=None if risk is None else [risk] * len(talks))

        return run

    found = {PLAIN: undefended, IDLE: at_risk(0.0), STEERING: at_risk(1.0), THREE: at_risk(None)}
    return found, [guarded.close, plain.llm_engine.engine_core.shutdown]


def in_transformers(batch: int) -> dict[str, Contender]:
    """The guard in batches of the same size: a batch ends with its longest answer."""
    from ras_ext import Guard, load_vectors, models
    from ras_ext.defenses.undefended import Undefended

    model, processor = models.load(ORGANISM)
    guard = Guard(model, processor, load_vectors(ORGANISM, model=model, processor=processor))
    bare = Undefended(model, processor)

    def run(answer: Callable[..., Any]) -> Contender:
        def batches(requests: Sequence[Any], lengths: Sequence[int]) -> None:
            for start in range(0, len(requests), batch):
                longest = max(lengths[start : start + batch])
                answer(requests[start : start + batch], max_new_tokens=longest, min_new_tokens=longest)

        return batches

    return {GUARD: run(guard.generate_batch), GENERATE: run(bare.answer)}


def seconds(run: Contender, given: Sequence[Any], lengths: Sequence[int]) -> float:
    start = time.perf_counter()
    run(given, lengths)
    return time.perf_counter() - start


def busy_while_waiting() -> float:
    """Processor seconds per second of all processes below this one while nobody asks them anything."""
    below = psutil.Process().children(recursive=True)

    def used() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in below)

    before, start = used(), time.perf_counter()
    time.sleep(3)
    return (used() - before) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--eager", action="store_true", help="without vLLM's compiled model")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        items = [
            item for item in load_items(queries.write_set("evaluation", folder)) if item.image and not item.history
        ]
        rng = random.Random(0)
        rng.shuffle(items)
        rounds = [(items * 9)[n * given.requests : (n + 1) * given.requests] for n in range(given.rounds + 1)]
        contenders, endings = engines(given.batch, eager=given.eager)
        others = in_transformers(given.batch)
        waiting = busy_while_waiting()
        print(f"waiting engines use {waiting:.2f} cores", file=sys.stderr)
        rows = []
        for traffic in (SAME, MIXED):
            times: dict[str, list[float]] = {name: [] for name in (*contenders, *others)}
            for number, part in enumerate(rounds):
                mixed = [rng.randint(1, given.tokens) for _ in part]
                lengths = mixed if traffic == MIXED else [given.tokens] * len(part)
                talks, requests = [conversation(item) for item in part], [item.request() for item in part]
                order = [*contenders.items(), *others.items()]
                rng.shuffle(order)
                for name, run in order:
                    spent = seconds(run, talks if name in contenders else requests, lengths)
                    if number:  # the first round warms up
                        times[name].append(sum(lengths) / spent)
                print(f"{traffic} round {number}", {n: round(t[-1]) for n, t in times.items() if t}, file=sys.stderr)
            speed = {name: statistics.median(found) for name, found in times.items()}
            for name, found in speed.items():
                rows.append({
                    "contender": name, "traffic": traffic, "tokens": given.tokens, "batch": given.batch,
                    "vllm": importlib.import_module("vllm").__version__,
                    "requests": given.requests, "rounds": given.rounds, "compiled": not given.eager,
                    "tokens_per_s": round(found, 1), "against_vllm": round(found / speed[PLAIN], 4),
                    "against_guard": round(found / speed[GUARD], 4), "waiting_cores": round(waiting, 2),
                })  # fmt: skip
        for end in endings:
            end()
    folder = given.out / machine.name(device)
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "in_vllm.csv", rows)
    for row in rows:
        print({key: row[key] for key in ("traffic", "contender", "tokens_per_s", "against_vllm", "against_guard")})


if __name__ == "__main__":
    main()
