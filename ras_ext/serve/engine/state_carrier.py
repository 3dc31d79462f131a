"""The dose carried by the states, for heads where mixing logits is not exact: soft-capping.

What the last norm put out for the rows to be sampled goes through here on its way to the head, outside of any captured
graph: the model's forward pass and its cache are what they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ras_ext.serve.engine.processor import Processor

_LARGE = 30.0  # how much larger than a normal state's numbers: there a cap shows


class SteeredHead:
    """In the place of a model's ``compute_logits``: pulls each batch's states ``(T, D)`` once, then calls it."""

    def __init__(self, head: Callable[..., Any], processor: Processor) -> None:
        self._head, self._processor = head, processor

    def __call__(self, hidden_states: torch.Tensor, *args: Any, **settings: Any) -> Any:
        # Other calls of the head, for the logits of prompts, come between two batches and are none of ours.
        if self._processor.batch_is_new:
            self._processor.batch_is_new = False
            work = self._processor.work()
            if work:
                states = self._processor.acting.table.states
                assert states is not None
                hidden_states = hidden_states.contiguous().clone()
                self._processor.acting.steer(hidden_states, work, states)
        return self._head(hidden_states, *args, **settings)


@torch.inference_mode()
def mixes_exactly(head: Callable[[torch.Tensor], torch.Tensor], states: torch.Tensor) -> bool:
    """Whether the logits of a mean of two states are the mean of their logits, for large states too."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, states.shape[-1], generator=generator).to(states) * states.float().std().to(states) * _LARGE
    apart = head(noise).float()
    together = head(noise.mean(0, keepdim=True)).float()
    room = {torch.float32: 1e-3, torch.float16: 1e-2}.get(states.dtype, 5e-2)
    return bool((apart.mean(0) - together[0]).abs().max() <= room * apart.abs().max())
