"""Every operator once or many times on one device, for tools that watch a process from outside.

``python tests/ops/drive_ops.py digest|repeat|graph [--device cuda] [--size odd|llava] [--repeat N]``

``digest`` runs each case alone and tells a hash of its results. ``repeat`` runs two cases of one shape in turn,
without waiting in between, so that whatever a launch leaves behind for the next (scratch, or a kernel that started too
early) would be another case's, and insists on the same bits. ``graph`` captures each operator in a CUDA graph, puts
other values into its tensors, replays, and insists on the bits of an ordinary call. Ends with 1 where bits differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ops_cases as cases
import torch
from torch import Tensor

from ras_ext import compiled, ops

Case = dict[str, Any]
WRITTEN = {"steer_": ("x",), "add_rms_norm_steer_": ("out", "residual"), "attention_peak_": ("acc",)}
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# Odd sizes, which every tail has to mask, and the sizes of LLaVA-1.5 7B.
SHAPES: dict[str, tuple[Callable[..., Case], dict[str, dict[str, int]]]] = {
    "steer_": (cases.steer, {"odd": {"hidden": 129}, "llava": {"batch": 8, "n_rows": 9, "hidden": 4096}}),
    "add_rms_norm_steer_": (cases.norm, {"odd": {"hidden": 131}, "llava": {"batch": 8, "n_rows": 9, "hidden": 4096}}),
    "risk_score": (cases.score, {"odd": {"vocabulary": 1031}, "llava": {"batch": 4, "vocabulary": 32_064}}),
    "region_risk": (cases.regions, {"odd": {}, "llava": {"tokens": 576, "hidden": 4096, "n_regions": 9}}),
    "attention_peak_": (
        cases.attention,
        {
            "odd": {"rows": 33, "keys": 71, "visual": 29, "width": 72},
            "llava": {"heads": 8, "kv_heads": 8, "rows": 64, "keys": 640, "visual": 576, "width": 128, "batch": 1},
        },
    ),
}


def on(device: str, case: Case) -> Case:
    """The case with its tensors on a device: made on the CPU, so that every device gets the same numbers."""
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in case.items()}


def pairs(device: str, wanted: str) -> Iterator[tuple[str, str, Case, Case]]:
    """(operator, name, a case, another case of the same shape)."""
    for op, (make, shapes) in SHAPES.items():
        for size, shape in shapes.items():
            if wanted not in ("all", size):
                continue
            for type_name, dtype in TYPES.items():
                torch.manual_seed(len(op) + len(size))
                first, second = make(dtype=dtype, **shape), make(dtype=dtype, **shape)
                yield op, f"{op} {size} {type_name}", on(device, first), on(device, second)


def call(op: str, case: Case) -> list[Tensor]:
    """What the operator returns and writes, on the case as it is."""
    returned = getattr(ops, op)(**case)
    written = [case[name] for name in WRITTEN.get(op, ()) if case[name] is not None]
    return [*(returned or ()), *written]


def digest(results: list[Tensor]) -> str:
    told = hashlib.sha256()
    for tensor in results:
        told.update(tensor.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes())
    return told.hexdigest()[:16]


def digests(device: str, size: str) -> dict[str, list[str]]:
    """The hashes of both cases of every pair, each run alone."""
    found = {}
    for op, name, first, second in pairs(device, size):
        found[name] = []
        for case in (first, second):
            result = call(op, cases.copied(case))
            synchronize(device)
            found[name].append(digest(result))
    return found


def repeated(device: str, size: str, times: int, expected: dict[str, list[str]]) -> list[str]:
    """The names of the pairs that gave other bits when run in turn, `times` times each, without a pause."""
    wrong = []
    for op, name, first, second in pairs(device, size):
        inputs = [[cases.copied(case) for case in (first, second)] for _ in range(times)]
        synchronize(device)
        results = [[call(op, case) for case in pair] for pair in inputs]
        synchronize(device)
        if any([digest(result) for result in pair] != expected[name] for pair in results):
            wrong.append(name)
    return wrong


def replayed(device: str, size: str, expected: dict[str, list[str]]) -> list[str]:
    """The names of the pairs whose captured call gave other bits than an ordinary one, on either case's values."""
    wrong = []
    for op, name, first, second in pairs(device, size):
        buffers = cases.copied(first)
        replay = capture(device, op, buffers)
        for case, wanted in zip((second, first, second), (1, 0, 1), strict=True):
            for key, value in case.items():
                if isinstance(value, Tensor):
                    buffers[key].copy_(value)
            result = replay()
            synchronize(device)
            if digest(result) != expected[name][wanted]:
                wrong.append(name)
    return wrong


def capture(device: str, op: str, buffers: Case) -> Callable[[], list[Tensor]]:
    """The call on these very tensors, as a CUDA graph; on a CPU simply the call."""
    if device == "cpu":
        return lambda: call(op, buffers)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call(op, buffers)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call(op, buffers)

    def replay() -> list[Tensor]:
        graph.replay()
        return results

    return replay


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("digest", "repeat", "graph"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--size", default="all", choices=("all", "odd", "llava"))
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--out", type=Path, help="digest: write the hashes there")
    parser.add_argument("--against", type=Path, help="compare with these hashes instead of a run of its own")
    given = parser.parse_args()
    unserved = [op for op in SHAPES if not compiled.serves(op, given.device)]
    if unserved:
        sys.exit(f"no compiled {', '.join(unserved)} for {given.device} is loaded: {compiled.status().why}")
    with torch.no_grad():
        expected = json.loads(given.against.read_text()) if given.against else digests(given.device, given.size)
        wrong: list[str] = []
        if given.mode == "repeat":
            wrong = repeated(given.device, given.size, given.repeat, expected)
        elif given.mode == "graph":
            wrong = replayed(given.device, given.size, expected)
    if given.out:
        given.out.write_text(json.dumps(expected, indent=1))
    if wrong:
        sys.exit(f"other bits than an ordinary call gave: {', '.join(dict.fromkeys(wrong))}")
    what = {"digest": "ran", "repeat": f"{given.repeat} times in turn, same bits", "graph": "replayed, same bits"}
    print(f"{len(expected)} pairs of cases on {given.device}: {what[given.mode]}")


if __name__ == "__main__":
    main()
