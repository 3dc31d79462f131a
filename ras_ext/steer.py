"""Stage 3: while the first tokens are written, pull the last layer toward the refusal prototypes by the risk.

x^n += d_n r (μ^n - x^n) after the final norm, for n = 1..N, with d_n the schedule's dose (1 in the paper).

Two carriers of the same dose: *state* steers in place at the final norm, *logits* mixes W μ^n into the logits as an
ordinary logits processor. With a linear head they are equal: W(x + d r (μ - x)) = (1 - d r) W x + d r W μ.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from transformers import LogitsProcessor

from ras_ext import ops
from ras_ext.compat import text_config
from ras_ext.errors import InputError, ModelError
from ras_ext.models import Parts
from ras_ext.vectors import SteeringVectors


class _Dose:
    """The dose of every row at every step; past the schedule it is nothing.

    Rows of a batch may be repeated by beams or return sequences, each request's copies side by side.
    """

    def __init__(self, risk: torch.Tensor, doses: tuple[float, ...]) -> None:
        if risk.ndim != 1 or risk.numel() == 0:
            raise InputError(f"risk must be one number per request, shape (B,), got {tuple(risk.shape)}")
        self.risk = risk.float()
        self.doses = doses

    def at(self, step: int, rows: int) -> torch.Tensor | None:
        """Dose ``(rows,)`` at a step, or ``None`` when the schedule is over."""
        if step >= len(self.doses):
            return None
        copies, rest = divmod(rows, self.risk.numel())
        if rest or not copies:
            raise InputError(
                f"the defence was set for {self.risk.numel()} requests and the model runs {rows} rows; "
                "give one risk per request of the batch"
            )
        return (self.risk * self.doses[step]).repeat_interleave(copies)


def _steer(x: torch.Tensor, rows: torch.Tensor, prototypes: torch.Tensor, step: int, dose: torch.Tensor) -> None:
    slot = torch.zeros(rows.numel(), dtype=torch.int32, device=x.device)
    ops.steer_(x, rows, prototypes, slot, torch.full_like(slot, step), dose.to(x.device))


class StateCarrier:
    """Context manager: inside it, the model's ``generate`` is steered at the final norm.

    Args:
        parts: the model's parts.
        vectors: prototypes and schedule.
        risk: ``(B,)``, one number in [0, 1] per request of the batch.

    Raises:
        InputError: the batch inside does not fit `risk`.
        ModelError: on leaving, if the final norm never ran, so that nothing can have been steered.
    """

    def __init__(self, parts: Parts, vectors: SteeringVectors, risk: torch.Tensor) -> None:
        self._norm = parts.final_norm
        self._prototypes = vectors.prototypes[: len(vectors.doses)].unsqueeze(0).to(parts.device)
        self._dose = _Dose(risk.to(parts.device), vectors.doses)
        self._step = 0
        self._width = 0
        self._ran = False
        self._handle: Any = None

    def __enter__(self) -> StateCarrier:
        self._handle = self._norm.register_forward_hook(self._hook)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()
        if kind is None and not self._ran:
            raise ModelError("the defence was on but the model's last norm never ran: nothing was steered")

    def _hook(self, _module: Any, _args: Any, output: torch.Tensor) -> None:
        batch, width, hidden = output.shape
        # A wide call that does not continue the last one by a token starts another answer.
        if width > 1 and width != self._width + 1:
            self._step = 0
        self._width, self._ran = width, True
        dose = self._dose.at(self._step, batch)
        if dose is not None:
            last = torch.arange(1, batch + 1, dtype=torch.int32, device=output.device) * width - 1
            _steer(output.view(batch * width, hidden), last, self._prototypes, self._step, dose)
        self._step += 1


class LogitsCarrier(LogitsProcessor):
    """The same dose as a logits processor, for engines where no hook can be set.

    Exact for a linear head without soft-capping; it acts on the logits as ``generate`` hands them over, after its
    own penalties.

    Raises:
        ModelError: the head caps or scales its logits, so that mixing would not be exact.
    """

    def __init__(self, parts: Parts, vectors: SteeringVectors, risk: torch.Tensor) -> None:
        text = text_config(parts.model.config)
        for name in ("final_logit_softcapping", "logit_scale"):
            if getattr(text, name, None):
                raise ModelError(f"the head applies {name}, where mixing logits is not exact; use carrier='state'")
        if not parts.linear_head:
            raise ModelError("the head caps or scales its logits, where mixing them is not exact; use carrier='state'")
        # As the head sees a steered state: the prototype rounded to the model's type.
        self._prototypes = parts.logits(vectors.prototypes[: len(vectors.doses)]).unsqueeze(0)
        self._dose = _Dose(risk.to(self._prototypes.device), vectors.doses)
        # A prompt of embeddings has no ids: its first token may be asked for at width 0.
        self._start, self._width = 0, -1

    @property
    def ran(self) -> bool:
        """Whether generate called it."""
        return self._width >= 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        width = input_ids.shape[1]
        if width != self._width + 1:
            self._start = width
        self._width = width
        dose = self._dose.at(width - self._start, scores.shape[0])
        if dose is None:
            return scores
        steered = scores.clone()
        rows = torch.arange(scores.shape[0], dtype=torch.int32, device=scores.device)
        _steer(steered, rows, self._prototypes, width - self._start, dose)
        return steered
