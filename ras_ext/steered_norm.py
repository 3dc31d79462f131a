"""A model's last norm with the pull behind it, in the norm's place while an answer is steered.

A module and not a hook: compiled code checks which module stands there, but not which hooks it has, and would go on
without one. What changes from request to request or from step to step is kept in tensors, so that a compiled decoding
step or a captured graph serves every risk and every step alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ras_ext.dose import pull
from ras_ext.errors import ModelError
from ras_ext.models import Parts
from ras_ext.vectors import SteeringVectors


class SteeredNorm(nn.Module):
    """What the head reads: the norm's output, its last token of every row pulled as the schedule has it.

    Args:
        parts: the model's parts.
        vectors: prototypes and schedule.

    Attributes:
        risk: ``(B,)`` f32, of the requests that are being answered; beams and the like follow their request.
        step: ``()`` i32, the step of the answer that comes next.
    """

    risk: torch.Tensor
    step: torch.Tensor
    doses: torch.Tensor
    prototypes: torch.Tensor

    def __init__(self, parts: Parts, vectors: SteeringVectors) -> None:
        super().__init__()
        self.norm = parts.final_norm
        self._parts = (parts,)  # in a tuple: the model is not a part of its norm
        self._doses = vectors.doses
        # One entry more than the schedule has, for every step past it.
        self._hold("doses", torch.tensor([*vectors.doses, 0.0], dtype=torch.float32))
        self._hold("prototypes", vectors.prototypes[: len(vectors.doses)].unsqueeze(0))
        self._hold("step", torch.zeros((), dtype=torch.int32))
        self._hold("risk", torch.zeros(1))
        self._passed = 0
        self._width = 0
        self._compiled = False

    @property
    def steps(self) -> int:
        """Steps of the answer so far: passes through the model since its prompt, that one included."""
        return int(self.step) if self._compiled else self._passed

    def put(self, risk: torch.Tensor) -> None:
        """Takes the norm's place, to steer by `risk` ``(B,)``. Raises ModelError if another one has it already."""
        parent, name = self._seat()
        if isinstance(getattr(parent, name), SteeredNorm):
            raise ModelError(
                "this model is being steered already; end that answer first, or give each thread a model of its own"
            )
        device = self._parts[0].device
        for buffer in ("doses", "prototypes", "step"):
            self._hold(buffer, getattr(self, buffer).to(device))
        risk = risk.to(device, torch.float32)
        if self.risk.shape == risk.shape and self.risk.device == device:
            self.risk.copy_(risk)  # where it was: a captured graph reads it there
        else:
            self._hold("risk", risk.clone())
        self.step.zero_()
        self._passed = self._width = 0
        self._compiled = False
        setattr(parent, name, self)

    def take(self) -> None:
        """Gives the place back to the norm."""
        parent, name = self._seat()
        setattr(parent, name, self.norm)

    def forward(self, *args: Any, **settings: Any) -> torch.Tensor:
        """The norm's output ``(B, T, D)``, steered in place."""
        output = self.norm(*args, **settings)
        rows, width, hidden = output.shape
        if torch.compiler.is_compiling():
            self._compiled = True
            if width > 1:
                self.step.zero_()
            dose = self.doses.index_select(0, self.step.clamp(max=len(self._doses)).reshape(1))
            self._pull(output.view(rows * width, hidden), width, self.step.repeat(rows), dose)
            self.step.add_(1)
            return output
        if self._compiled:
            self._passed, self._compiled = int(self.step), False
        # A wide call that does not continue the last one by a token starts another answer.
        if width > 1 and width != self._width + 1:
            self._passed = 0
        self._width = width
        if self._passed < len(self._doses):
            step = torch.full((rows,), self._passed, dtype=torch.int32, device=output.device)
            self._pull(output.view(rows * width, hidden), width, step, self._doses[self._passed])
        self._passed += 1
        self.step.fill_(self._passed)
        return output

    def _pull(self, x: torch.Tensor, width: int, step: torch.Tensor, dose: torch.Tensor | float) -> None:
        """Steers the last of every `width` rows of `x`."""
        last = torch.arange(1, step.numel() + 1, dtype=torch.int32, device=x.device) * width - 1
        pull(x, last, self.prototypes, step, self.risk, dose)

    def _seat(self) -> tuple[nn.Module, str]:
        path, _, name = self._parts[0].family.final_norm.rpartition(".")
        parent = self._parts[0].model.get_submodule(path)
        return getattr(parent, "_orig_mod", parent), name  # what torch.compile wraps is what runs

    def _hold(self, name: str, value: torch.Tensor) -> None:
        self.register_buffer(name, value, persistent=False)
