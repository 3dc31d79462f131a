"""The operators as the CUDA kernels compute them, run on the host: the signatures of ``ras_ext.ops`` on CPU tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import emulator_build
import torch
from torch import Tensor

Arguments = dict[str, Any]


def arguments(operator: str, case: Arguments) -> tuple[dict[str, Tensor], dict[str, float]]:
    """A case's tensors, with those the operator returns among them, and its numbers."""
    arrays = {name: value for name, value in case.items() if isinstance(value, Tensor)}
    numbers = {name: float(value) for name, value in case.items() if isinstance(value, int | float)}
    if operator == "risk_score":
        batch = case["logits"].shape[0]
        arrays |= {name: torch.empty(batch) for name in ("similarity", "risk")}
    if operator == "region_risk":
        shape = (case["hidden"].shape[0], case["n_regions"])
        arrays |= {"mass": torch.empty(shape), "region_risk": torch.empty(shape), "pooled": torch.empty(shape[0])}
    return arrays, numbers


def run(operator: str, case: Arguments, **numbers: float) -> tuple[Tensor, ...]:
    """Runs the kernels on the case's tensors in place; returns what the operator returns.

    Args:
        operator: its name in ``ras_ext.ops``.
        case: its arguments by name.
        numbers: ``seed`` for another order of blocks and threads.

    Raises:
        RuntimeError: the kernels did what a GPU would not survive, or stopped themselves.
    """
    arrays, given = arguments(operator, case)
    described = {
        name: (t.data_ptr(), str(t.dtype).removeprefix("torch."), list(t.shape), list(t.stride()))
        for name, t in arrays.items()
    }
    _module().run(operator, described, given | numbers)
    return tuple(arrays[name] for name in RESULTS.get(operator, ()))


RESULTS = {"risk_score": ("similarity", "risk"), "region_risk": ("mass", "region_risk", "pooled")}


def _module() -> Any:
    folder = str(emulator_build.build_module())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import emulated_kernels

    return emulated_kernels


def run_program(
    program: Path, operator: str, case: Arguments, folder: Path
) -> tuple[subprocess.CompletedProcess[str], tuple[Tensor, ...]]:
    """Runs the case in a program of its own, in place as `run` does; returns how it ended and what it returned.

    Each tensor travels as the whole storage it views, so that a step outside is outside the program's heap block too.
    """
    arrays, numbers = arguments(operator, case)
    lines = [f"operator {operator}", *(f"number {name} {value!r}" for name, value in numbers.items())]
    storages = {}
    for name, t in arrays.items():
        raw = torch.empty(0, dtype=torch.uint8).set_(t.untyped_storage())
        storages[name] = raw
        words = [str(t.dtype).removeprefix("torch."), raw.numel(), t.storage_offset() * t.element_size(), t.ndim]
        lines.append(" ".join(map(str, ["array", name, *words, *t.shape, *t.stride()])))
    file = folder / f"{operator}.case"
    head = ("\n".join([*lines, "data"]) + "\n").encode()
    file.write_bytes(head + b"".join(raw.numpy().tobytes() for raw in storages.values()))
    done = subprocess.run([str(program), str(file)], capture_output=True, text=True, timeout=120)
    written = file.read_bytes()[len(head) :]
    for raw in storages.values():
        raw.copy_(torch.frombuffer(bytearray(written[: raw.numel()]), dtype=torch.uint8))
        written = written[raw.numel() :]
    return done, tuple(arrays[name] for name in RESULTS.get(operator, ()))
