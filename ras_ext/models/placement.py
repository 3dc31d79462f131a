"""Where a module computes, in which type, and from what weights.

What its parameters say is not enough: accelerate leaves those of an offloaded module on the device "meta" between two
calls, and a quantised module keeps integers or packed bits from which it computes in another type.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import nn

# Types a state can be cast to; 8-bit floats are not among them, weights of that type are packed ones.
COMPUTING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def device_of(module: nn.Module) -> torch.device:
    """The device on which a module runs: where accelerate brings its weights, else where they are.

    For a whole model this is where its inputs belong.
    """
    hook = getattr(module, "_hf_hook", None)
    for one in getattr(hook, "hooks", (hook,)):
        place = getattr(one, "execution_device", None)
        if place is not None:
            return torch.device(place)
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.device.type != "meta":
            return tensor.device
    inside = (device_of(child) for child in module.children())
    return next((place for place in inside if place.type != "meta"), torch.device("meta"))


def dtype_of(module: nn.Module) -> torch.dtype | None:
    """The type in which a module takes its inputs; ``None`` if all its weights are packed or it has none."""
    return next((weight.dtype for weight in module.parameters() if weight.dtype in COMPUTING), None)


def quantization_of(model: Any) -> str | None:
    """How a model's weights are quantised, such as ``"bitsandbytes:nf4"``; ``None`` where they are not."""
    config = getattr(getattr(model, "hf_quantizer", None), "quantization_config", None)
    config = config or getattr(getattr(model, "config", None), "quantization_config", None)
    if config is None:
        return None
    values = config if isinstance(config, dict) else vars(config)
    method = values.get("quant_method")
    kind = values.get("quant_type") or values.get("weights") or values.get("bits")
    if values.get("load_in_8bit") or values.get("_load_in_8bit"):
        kind = "int8"
    elif values.get("load_in_4bit") or values.get("_load_in_4bit"):
        kind = values.get("bnb_4bit_quant_type")
    name = str(getattr(method, "value", method))
    if kind is None:
        return name
    return f"{name}:{kind if isinstance(kind, (str, int)) else type(kind).__name__}"
