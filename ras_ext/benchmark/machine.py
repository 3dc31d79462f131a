"""On what was measured: a short name for folders and rows, and the facts behind it."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from typing import Any

import torch

import ras_ext
from ras_ext import compiled, processor

_PEERS = ("triton", "liger-kernel", "quack-kernels", "vllm")


def name(device: torch.device) -> str:
    """A folder name: the GPU's, or the processor's with its cores, such as ``intel-xeon-processor-2-cores``."""
    if device.type == "cuda":
        return _slug(torch.cuda.get_device_name(device))
    return f"{_slug(processor.name())}-{processor.cores()}-cores"


def describe(device: torch.device) -> dict[str, Any]:
    """Plain values about the machine and the versions."""
    found: dict[str, Any] = {
        "machine": name(device),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": processor.name(),
        "cores": processor.cores(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "flags": processor.flags(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "ras_ext": ras_ext.__version__,
        "operators": _operators(device),
        "versions": {package: _version(package) for package in _PEERS},
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "l2_bytes": properties.L2_cache_size,
        }
    return found


def busy() -> str:
    """One sentence where other work competes for the processors, else nothing: figures then say little."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return ""
    # This process alone keeps no more than all processors busy.
    if load <= 1.25 * processor.cores() + 0.5:
        return ""
    return f"other work was running (load {load:.1f} on {processor.cores()} processors); measure again when it is quiet"


def rotation_bytes(device: torch.device) -> int:
    """How much memory calls must go through for each to find its own arguments out of the cache: three times the L2.

    On a CPU 128 MB, more than the caches of its cores; a cache shared by a whole socket may hold it all the same.
    """
    if device.type == "cuda":
        return 3 * int(torch.cuda.get_device_properties(device).L2_cache_size)
    return 128 * 2**20


def _operators(device: torch.device) -> str:
    status = compiled.status()
    return "compiled" if (status.cuda_ops if device.type == "cuda" else status.cpu_ops) else "plain-torch reference"


def _slug(text: str) -> str:
    plain = re.sub(r"\((r|tm|c)\)|\bcpu\b", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
