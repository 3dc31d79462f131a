"""On what something was measured: versions, device, threads. A figure without these cannot be compared."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import torch

import ras_ext
from ras_ext import compiled, processor
from ras_ext.models import device_of, dtype_of, quantization_of


def describe(model: Any = None) -> dict[str, Any]:
    """Plain values; with a model also its dtype and the device it runs on."""
    found: dict[str, Any] = {
        "ras_ext": ras_ext.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": metadata.version("transformers"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor.name(),
        "threads": torch.get_num_threads(),
        "operators": "compiled" if compiled.status().cpu_ops else "plain-torch reference",
    }
    dtype = dtype_of(model) if hasattr(model, "parameters") else None
    if dtype is not None:
        device = device_of(model)
        found["dtype"] = str(dtype).removeprefix("torch.")
        found["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        if how := quantization_of(model):
            found["quantization"] = how
    return found
