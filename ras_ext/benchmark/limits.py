"""How fast this machine copies and multiplies, measured the way the operators are: the bar of the memory-bound ones.

A copy of n bytes reads n / 2 and writes n / 2. It runs through the same timer, on as many threads and as warm caches as
what it is compared with, and includes the cost of one call. Pure reading can be quicker than copying, so that an
operator that hardly writes may reach a fraction above 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ras_ext.benchmark.machine import rotation_bytes
from ras_ext.benchmark.timer import measure

GEMM_SIZE = {"cpu": 1024, "cuda": 8192}
MAXIMAL_SETS = 4096


def sets(bytes_each: int, device: torch.device, cache: str) -> int:
    """How many buffers of a size calls must rotate over for caches to be ``"cold"``; one where they are ``"hot"``."""
    if cache == "hot":
        return 1
    return min(MAXIMAL_SETS, -(-rotation_bytes(device) // max(bytes_each, 1)) + 1)


def copy_gb_per_s(moved: int, device: torch.device, cache: str = "hot") -> float:
    """The rate of a copy that moves `moved` bytes in all, read and written."""
    half = max(moved // 2, 1)
    calls: list[Callable[[], object]] = []
    for _ in range(sets(2 * half, device, cache)):
        source = torch.zeros(half, dtype=torch.uint8, device=device)
        calls.append(partial(torch.zeros_like(source).copy_, source))
    return 2 * half / measure({"copy": calls}, device)["copy"].us / 1e3


def gemm_tflop_per_s(dtype: torch.dtype, device: torch.device, size: int | None = None) -> float:
    """The rate of a square product of random matrices: zeros take less power and flatter the rate."""
    n = size or GEMM_SIZE[device.type]
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    c = torch.empty(n, n, dtype=dtype, device=device)
    return 2 * n**3 / measure({"gemm": [partial(torch.mm, a, b, out=c)]}, device)["gemm"].us / 1e6
