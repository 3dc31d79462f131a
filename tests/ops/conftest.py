"""Fixtures of the operators' tests: every device, every type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ras_ext import compiled


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """The CPU always; CUDA where torch can use one."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip(f"no CUDA device: torch {torch.__version__}, CUDA build {torch.version.cuda}")
    return str(request.param)


@pytest.fixture(params=[torch.float32, torch.float16, torch.bfloat16], ids=["f32", "f16", "bf16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """The types the operators take."""
    return request.param


@pytest.fixture(autouse=True)
def _compiled_and_seeded() -> Iterator[None]:
    """These tests are about the compiled operators: running them on the reference alone would show nothing."""
    assert compiled.load().cpu_ops, compiled.load().why
    torch.manual_seed(0)
    with torch.no_grad():
        yield
