"""The emulated kernels' fixtures: every type, and nothing at all where CUDA's headers are missing."""

from __future__ import annotations

import emulator_build
import pytest
import torch


@pytest.fixture(params=[torch.float32, torch.float16, torch.bfloat16], ids=["f32", "f16", "bf16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """The types the operators take."""
    return request.param


@pytest.fixture(autouse=True)
def _seeded() -> None:
    if emulator_build.toolkit_headers() is None:
        pytest.skip("no CUDA toolkit: its headers give the kernels' sixteen-bit types, so they stay unrun")
    torch.manual_seed(0)
