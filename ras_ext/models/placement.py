"""Where a module computes and in which type.

What its parameters say is not enough: accelerate leaves those of an offloaded module on the device "meta" between two
calls, and a quantised module keeps integers or packed bits from which it computes in another type.
"""

from __future__ import annotations

from itertools import chain

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
