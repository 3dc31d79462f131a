"""How much memory is held at the height of a piece of work, the model's weights and everything kept included."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch


def peak_bytes(work: Callable[[], Any], model: Any) -> int:
    """Bytes of tensors at the height of `work`: the allocator's figure on a GPU, the profiler's record on a CPU."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    gc.collect()
    before = _alive()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    results: Any = seen.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return before + highest


def _alive() -> int:
    """Bytes of all tensors there are, each storage once."""
    storages = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter):
            storages[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
    return sum(storages.values())
