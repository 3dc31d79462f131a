"""Launch plans: how each CUDA operator is cut into kernel launches, and what it must at least move and compute.

Reads the compiled module ``_plans``, which holds the same C++ functions the launches use; it needs no torch, no CUDA
and no GPU. The benchmarks' limits and ``ras-ext doctor`` come from here. Where the module is missing, the operators
work as before and only the plans are refused, with the reason.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from ras_ext.elf import truncated
from ras_ext.errors import CompiledLibraryError, InputError
from ras_ext.registry.errors import first_line


@dataclass(frozen=True)
class Launch:
    """One kernel launch.

    Attributes:
        kernel: the kernel's name.
        grid: blocks along x, y and z.
        threads: threads of a block.
        shared_bytes: dynamic shared memory of a block; the kernels use no other.
    """

    kernel: str
    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int


@dataclass(frozen=True)
class Plan:
    """An operator's launches for one shape, in stream order.

    Attributes:
        launches: what is launched; one with an empty grid is left out by the operator.
        scratch_bytes: memory handed from one launch to the next.
        bytes: what must move between memory and the chip, each input and output counted once.
        flops: additions and multiplications; an exponential counts as one.
    """

    launches: tuple[Launch, ...]
    scratch_bytes: int
    bytes: int
    flops: int


@dataclass(frozen=True)
class Build:
    """With what the plans' module was built."""

    compiler: str
    pybind11: str
    python: str


_TYPICAL = {
    "attention_peak_": {
        "batch": 8,
        "n_heads": 8,
        "rows": 64,
        "keys": 640,
        "visual": 576,
        "width": 128,
        "element_bytes": 2,
        "has_lse": False,
    },
    "region_risk": {
        "batch": 8,
        "tokens": 576,
        "hidden": 4096,
        "n_regions": 16,
        "hidden_bytes": 2,
        "has_center": True,
    },
    "risk_score": {"batch": 8, "steps": 3, "vocabulary": 32_064, "logit_bytes": 2},
    "steer_": {"batch": 8, "hidden": 4096, "x_bytes": 2, "prototype_bytes": 4},
    "add_rms_norm_steer_": {
        "n_rows": 8,
        "hidden": 4096,
        "batch": 8,
        "x_bytes": 2,
        "residual_bytes": 2,
        "out_bytes": 2,
        "weight_bytes": 2,
        "prototype_bytes": 4,
    },
}


def why_missing() -> str:
    """One sentence on why there are no plans; empty where they are there."""
    return _load()[1]


def operators() -> dict[str, tuple[str, ...]]:
    """The operators that have a plan, each with the names of the sizes it asks for."""
    return {op: tuple(names) for op, names in _module().PARAMETERS.items()}


def build() -> Build:
    """With what the module was built."""
    return Build(**_module().BUILD)


def typical() -> dict[str, dict[str, int]]:
    """For every operator that has a plan, the sizes of an ordinary call: LLaVA-1.5 7B, half precision, a batch of 8."""
    return {op: dict(sizes) for op, sizes in _TYPICAL.items()}


def plan(op: str, /, **shape: int) -> Plan:
    """The plan of an operator, ``plan("steer_", batch=4, hidden=4096, x_bytes=2, prototype_bytes=4)``.

    Args:
        op: an operator's name, one of `operators`.
        **shape: its sizes by name, all of them. ``..._bytes`` are the bytes of one element, 2 or 4 (``residual_bytes``
            0 without one); ``has_...`` is whether an optional argument is given; the others are lengths.

    Raises:
        InputError: no such operator, or the sizes do not fit.
        CompiledLibraryError: the compiled module is not there.
    """
    known = operators()
    if op not in known:
        raise InputError(f"there is a plan for {', '.join(sorted(known))}, got {op!r}")
    if set(shape) != set(known[op]):
        raise InputError(f"the plan of {op} needs {', '.join(known[op])}, got {', '.join(shape) or 'nothing'}")
    try:
        launches, scratch, moved, flops = getattr(_module(), op)(**shape)
    except ValueError as error:
        raise InputError(str(error)) from None
    except TypeError:
        raise InputError(f"the sizes of {op} must be integers of at most 64 bits, got {shape}") from None
    return Plan(tuple(Launch(*launch) for launch in launches), scratch, moved, flops)


def _module() -> Any:
    module, why = _load()
    if module is None:
        raise CompiledLibraryError(f"there are no launch plans: {why}")
    return module


@lru_cache(maxsize=1)
def _load() -> tuple[Any, str]:
    """The compiled module, or ``None`` and the reason."""
    folder = Path(__file__).resolve().parent
    again = f"install ras_ext again with Python {sys.version_info.major}.{sys.version_info.minor} and a C++ compiler"
    # Only the file beside this one: an import might find that of another installation.
    path = next((path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_plans{suffix}").is_file()), None)
    if path is None:
        return None, f"the compiled module _plans for this Python is not in {folder}; {again}"
    if truncated(path):
        return None, f"{path} is cut short; {again}"
    try:
        spec = spec_from_file_location("ras_ext._plans", path)
        if spec is None or spec.loader is None:
            return None, f"{path} is no module; {again}"
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        return None, f"{path} cannot be loaded ({first_line(error)}); {again}"
    return module, ""
