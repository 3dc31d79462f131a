"""The packs that a worker holds, ready for its logits and its states."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ras_ext.serve.engine.packed import Packed


@dataclass
class Table:
    """Packs by key. A pack keeps its slot for as long as the worker lives: requests under way may name it.

    Attributes:
        packs: as they came, by key.
        slots: which row of the prototypes each one is.
        states: ``(P, N, D)`` in the model's type; `logits`: ``(P, N, V)`` f32; one of them, by the carrier.
        steered_tokens: of each pack, the token that each step writes under a dose of 1.
    """

    device: torch.device
    packs: dict[str, Packed] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    states: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    mixtures: dict[str, torch.Tensor] = field(default_factory=dict)
    ends: dict[str, torch.Tensor] = field(default_factory=dict)
    steered_tokens: dict[str, list[int]] = field(default_factory=dict)

    def add(self, data: bytes, head: Callable[[torch.Tensor], Any] | None, dtype: torch.dtype, carrier: str) -> None:
        """Takes a pack in. `head` maps states ``(N, D)`` to logits ``(N, V)``; None where this worker has no head.

        Raises ValueError if the pack does not fit the model.
        """
        pack = Packed.from_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        if self.digests.get(pack.key) == digest:
            return
        if pack.key in self.packs:
            raise ValueError(f"the pack {pack.key} is loaded already with another content")
        if head is not None:
            states = pack.prototypes.to(self.device, dtype)
            logits = head(states)
            if logits is None or logits.shape[-1] != pack.mixture.numel():
                width = None if logits is None else logits.shape[-1]
                raise ValueError(f"the head writes {width} logits, the pack {pack.key} is for {pack.mixture.numel()}")
            if carrier == "state":
                self.states = _behind(self.states, states)
            else:
                self.logits = _behind(self.logits, logits.float())
            self.steered_tokens[pack.key] = logits.argmax(-1).tolist()
            self.mixtures[pack.key] = pack.mixture.to(self.device)
            self.ends[pack.key] = torch.tensor(pack.ends, dtype=torch.int64, device=self.device)
        self.slots[pack.key] = len(self.packs)
        self.packs[pack.key] = pack
        self.digests[pack.key] = digest

    @property
    def vocab_size(self) -> int:
        """Width of the logits; 0 where this worker has no head."""
        return next((mixture.numel() for mixture in self.mixtures.values()), 0)


def _behind(stack: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
    """``(P, N, X)`` with ``(N', X)`` behind it; the shorter ones end in zeros that no step reaches."""
    if stack is None:
        return rows[None].contiguous()
    steps = max(stack.shape[1], rows.shape[0])
    pad = torch.nn.functional.pad
    stack = pad(stack, (0, 0, 0, steps - stack.shape[1]))
    return torch.cat([stack, pad(rows, (0, 0, 0, steps - rows.shape[0]))[None]])
