"""Reads what the method is built on: the states and logits that predict an answer's first tokens.

``x^n`` is the state after the final norm that predicts answer token n (transformers' ``hidden_states[-1]``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ras_ext.conversation import Request
from ras_ext.generation import GREEDY, Answer, Greedy, decode, end_tokens, generate, greedy
from ras_ext.models import Parts


@dataclass(frozen=True)
class Opening:
    """The first N steps of a batch of greedy answers.

    Attributes:
        states: ``(B, N, D)`` f32, after the final norm; zeros past a row's length.
        length: ``(B,)`` i32, real steps of each row, the one that predicts the end token included.
        answers: the answers as far as they were generated.
    """

    states: torch.Tensor
    length: torch.Tensor
    answers: list[Answer]


def lengths(model: Any, rows: torch.Tensor, steps: int, processor: Any = None) -> torch.Tensor:
    """Real steps ``(B,)`` i32 among the first `steps` of generated token rows ``(B, T)``."""
    length = torch.full((rows.shape[0],), min(steps, rows.shape[1]), dtype=torch.int32, device=rows.device)
    for end in end_tokens(model, processor):
        hit = rows[:, :steps] == end
        first = torch.where(hit.any(1), hit.int().argmax(1) + 1, rows.shape[1])
        length = torch.minimum(length, first.to(torch.int32))
    return length


def first_logits(
    model: Any, processor: Any, requests: Sequence[Request], steps: int, write: Greedy | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(B, steps, V)`` of the first greedy steps, and each row's real steps ``(B,)`` i32."""
    rows, logits = (write or partial(greedy, model, processor))(requests, steps, logits=True)
    assert logits is not None
    if logits.shape[1] < steps:  # every row ended early
        logits = torch.nn.functional.pad(logits, (0, 0, 0, steps - logits.shape[1]))
    return logits, lengths(model, rows, steps, processor)


def opening(parts: Parts, processor: Any, requests: Sequence[Request], steps: int, max_new_tokens: int) -> Opening:
    """Greedy answers of a batch, with the states of their first `steps` steps read at the final norm."""
    seen: list[torch.Tensor] = []

    def read(_module: Any, _args: Any, output: torch.Tensor) -> None:
        if len(seen) < steps:
            seen.append(output[:, -1].float())

    handle = parts.final_norm.register_forward_hook(read)
    try:
        rows, prompt = generate(
            parts.model, processor, requests, **{**GREEDY, "max_new_tokens": max(max_new_tokens, steps)}
        )
    finally:
        handle.remove()
    states = torch.stack(seen, dim=1)
    states = torch.nn.functional.pad(states, (0, 0, 0, steps - states.shape[1]))
    rows = rows[:, prompt:]
    length = lengths(parts.model, rows, steps, processor)
    real = torch.arange(steps, device=states.device) < length[:, None].to(states.device)
    return Opening(states * real[..., None], length, decode(parts.model, processor, rows))
