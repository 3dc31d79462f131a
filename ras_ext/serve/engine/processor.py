"""vLLM's logits processor that carries the defence, for both of its model runners.

One class, since vLLM takes one name before it decides which runner it will have: V1 says what changed in the batch and
hands over rows in its order, V2 gives every request a slot and says at each step which slot a row has.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor as ProcessorV1
from vllm.v1.sample.logits_processor import MoveDirectionality
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as ProcessorV2

from ras_ext.serve.engine.acting import Acting, Row
from ras_ext.serve.engine.order import JUDGE, Order
from ras_ext.serve.engine.table import Table
from ras_ext.serve.frontend import check_order

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

NAME = f"{__name__}:Processor"
_LEFT = 256  # requests that are remembered when they leave the batch


class Processor(ProcessorV1, ProcessorV2):
    """Steers and scores rows of logits. The packs come later, by :class:`ras_ext.serve.engine.extension.Extension`.

    Attributes:
        carrier: ``"logits"`` pulls them here; under ``"state"`` the states were pulled before the head.
        batch_is_new: V1: a forward pass is due or under way, and its states have not been pulled.
    """

    def __init__(self, vllm_config: Any, *runner: Any) -> None:
        # V1 hands over (device, is_pin_memory), V2 the state of its requests.
        self._state: Any = runner[0] if len(runner) == 1 else None
        device = self._state.device if self._state is not None else runner[0]
        self.carrier = "logits"
        self.acting = Acting(Table(torch.device(device)))
        self._rows: dict[int, Row] = {}  # by place in the batch (V1) or by slot (V2); only those with work left
        self._written: dict[int, list[int]] = {}  # V1: the running output of each of them
        # V1: requests that are being scored and have left the batch for a while, as they do at every second step where
        # a pipeline has two stages; the list that each of them writes to says which one comes back.
        self._left: OrderedDict[int, tuple[Row, list[int]]] = OrderedDict()
        self.batch_is_new = False

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """In the frontend, before a request is admitted. Raises ValueError, which clients see as a 400."""
        check_order(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: what came, went and moved, before each forward pass."""
        self.batch_is_new = True
        if batch_update is None:
            return
        for index in batch_update.removed:
            self._leave(index)
        for index, params, _, written in batch_update.added:
            self._leave(index)
            order = Order.of(params.extra_args)
            row = self._back(order, written) or self.acting.admit(order)
            if row is not None:
                self._rows[index], self._written[index] = row, written
        for here, there, direction in batch_update.moved:
            ours, theirs = self._take(here), self._take(there)
            self._put(there, ours)
            if direction == MoveDirectionality.SWAP:
                self._put(here, theirs)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: a request gets a slot. Whether there is anything to do for it."""
        self._rows.pop(req_idx, None)
        row = self.acting.admit(Order.of(sampling_params.extra_args))
        if row is None:
            return False
        self._rows[req_idx] = row
        return True

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Logits ``(T, V)`` f32, in place."""
        work = self.work(ctx)
        if work:
            if self.carrier == "logits":
                prototypes = self.acting.table.logits
                assert prototypes is not None
                self.acting.steer(logits, work, prototypes)
            self.acting.judge(logits, work)
        return logits

    def work(self, ctx: Any = None) -> list[tuple[int, Row, int]]:
        """The rows of this step with something to do, whose they are, and how many tokens those have written."""
        if not self._rows:
            return []
        found = []
        for index, at, step in self._of_slots(ctx) if self._state is not None else self._of_places():
            row = self._rows[index]
            if self.acting.has_work(row, step):
                found.append((at, row, step))
            else:
                self._drop(index)
        return found

    def _of_places(self) -> list[tuple[int, int, int]]:
        """V1: rows of the logits stand in the order of the batch."""
        return [(index, index, len(written)) for index, written in self._written.items()]

    def _of_slots(self, ctx: Any) -> list[tuple[int, int, int]]:
        """V2: slots, with their rows in the batch. Without speculation a request has one row."""
        lengths, prompts = ctx.seq_lens_upper_bound_np, self._state.prompt_len.np
        slots = [(at, int(slot)) for at, slot in enumerate(ctx.idx_mapping_np) if int(slot) in self._rows]
        steps = [(slot, at, int(lengths[at]) - int(prompts[slot])) for at, slot in slots]
        return [entry for entry in steps if entry[2] >= 0]  # below: a part of a prompt, of which nothing is sampled

    def _drop(self, index: int) -> None:
        self._rows.pop(index, None)
        self._written.pop(index, None)

    def _leave(self, index: int) -> None:
        taken = self._take(index)
        if taken is not None and taken[0].order.do == JUDGE and self.acting.has_work(taken[0], len(taken[1])):
            self._left[id(taken[1])] = taken
            if len(self._left) > _LEFT:
                self._left.popitem(last=False)  # done or given up; if it does come back, it is scored again

    def _back(self, order: Order | None, written: list[int]) -> Row | None:
        """The row of a request that was in the batch before."""
        row, _ = self._left.pop(id(written), (None, written))
        return row if row is not None and row.order == order else None

    def _take(self, index: int) -> tuple[Row, list[int]] | None:
        row = self._rows.pop(index, None)
        return None if row is None else (row, self._written.pop(index))

    def _put(self, index: int, taken: tuple[Row, list[int]] | None) -> None:
        self._drop(index)
        if taken is not None:
            self._rows[index], self._written[index] = taken
