"""The processor as the system names it. Figures are compared only where it is known on what they were measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def name() -> str:
    """The CPU's name."""
    return next(iter(_field("model name")), "") or platform.processor() or platform.machine()


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def flags() -> list[str]:
    """The instruction sets the processor names, sorted; empty where the system does not tell."""
    return sorted(next(iter(_field("flags") or _field("Features")), "").split())


def _field(field: str) -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == field]
