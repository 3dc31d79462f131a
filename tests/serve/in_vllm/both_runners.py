"""A loop of an engine without a model: vLLM's own batches of both runners around the defence's processor.

What is run of vLLM: V1's `InputBatch`, whose changes become real `BatchUpdate`s, and V2's `RequestState`, whose slots
and lengths V2's processors read. What a model would say is a function of the request and of the tokens before.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.worker.gpu import buffer_utils
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, build_custom_logits_processors
from vllm.v1.worker.gpu.states import RequestState
from vllm.v1.worker.gpu_input_batch import CachedRequestState, InputBatch

from ras_ext.serve.engine.order import Order
from ras_ext.serve.engine.processor import NAME, Processor

PLACES, LENGTH = 6, 128
CPU = torch.device("cpu")


@dataclass
class Asked:
    """A request: when it comes, how long its prompt is, how many tokens it wants, and what it has."""

    name: int
    order: Order
    prompt: int
    wants: int
    arrives: int
    computed: int = 0
    tokens: list[int] = field(default_factory=list)
    preempted: int = 0

    @property
    def params(self) -> SamplingParams:
        return SamplingParams(temperature=0.0, max_tokens=self.wants, extra_args=self.order.to_args())

    @property
    def length(self) -> int:
        return self.prompt + len(self.tokens)

    def said(self, seen: int, vocab_size: int) -> torch.Tensor:
        """The model's logits ``(V,)`` behind the first `seen` tokens; behind a part of a prompt they mean nothing."""
        before = tuple(self.tokens[: max(seen - self.prompt, 0)])
        return says(self.name, before, vocab_size) if seen >= self.prompt else says(-seen, (self.name,), vocab_size)


def says(name: int, before: tuple[int, ...], vocab_size: int) -> torch.Tensor:
    seed = hash((name, before)) % 2**31  # of whole numbers: the same in every process
    return torch.randn(vocab_size, generator=torch.Generator().manual_seed(seed)) * 2


class BatchV1:
    """The persistent batch of V1: a request that is not run in a step leaves it."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.processor = Processor(SimpleNamespace(), CPU, False)
        self.batch = InputBatch(
            PLACES, LENGTH, LENGTH, CPU, vocab_size, [32], [4], LogitsProcessors([self.processor]), True
        )

    def run(self, due: list[tuple[Asked, int]]) -> dict[int, int]:
        """The next token of each request after so many more of its tokens were run."""
        named = {str(asked.name): asked for asked, _ in due}
        for name in [name for name in self.batch.req_ids if name not in named]:
            self.batch.remove_request(name)
        for name, asked in named.items():
            if name not in self.batch.req_id_to_index:
                # The list itself: as vLLM does, so that the processor sees it grow.
                self.batch.add_request(
                    CachedRequestState(
                        name, [0] * asked.prompt, [], asked.params, None, ([0],), asked.computed, asked.tokens
                    )
                )
        self.batch.condense()
        self.batch.refresh_metadata()
        seen = {str(asked.name): asked.computed + more for asked, more in due}
        order = list(self.batch.req_ids)
        logits = torch.stack([named[name].said(seen[name], self.vocab_size) for name in order])
        for processor in self.batch.logitsprocs.all:
            logits = processor.apply(logits)
        return {named[name].name: int(row.argmax()) for name, row in zip(order, logits, strict=True)}

    def preempt(self, asked: Asked) -> None:
        """Nothing: what is not run leaves the batch."""

    finish = preempt


class BatchV2:
    """The slots of V2: rows come in another order at each step."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        with pytest.MonkeyPatch.context() as patch:  # no memory that a GPU reads: vLLM's own buffers for that case
            patch.setattr(buffer_utils, "is_uva_available", lambda: False)
            self.states = RequestState(PLACES, LENGTH, LENGTH, 0, vocab_size, CPU)
        (self.processor,) = build_custom_logits_processors(SimpleNamespace(), self.states, False, [NAME])
        self.slots_used: list[int] = []

    def run(self, due: list[tuple[Asked, int]]) -> dict[int, int]:
        """The next token of each request after so many more of its tokens were run."""
        for asked, _ in due:
            if str(asked.name) not in self.states.req_id_to_index:
                fed = [0] * asked.prompt + asked.tokens
                self.states.add_request(str(asked.name), asked.prompt, fed, asked.computed, asked.wants)
                slot = self.states.req_id_to_index[str(asked.name)]
                self.slots_used.append(slot)
                self.processor.add_request(slot, asked.params)
        self.processor.apply_staged_writes()
        slots = np.array([self.states.req_id_to_index[str(asked.name)] for asked, _ in due], dtype=np.int32)
        lengths = np.array([asked.computed + more for asked, more in due], dtype=np.int32)
        mapping = torch.from_numpy(slots)
        context = LogitsContext(
            expanded_idx_mapping=mapping,
            idx_mapping=mapping,
            idx_mapping_np=slots,
            expanded_local_pos=torch.zeros_like(mapping),
            input_ids=torch.zeros_like(mapping),
            pos=torch.from_numpy(lengths - 1),
            seq_lens_upper_bound_np=lengths,
        )
        logits = torch.stack([asked.said(asked.computed + more, self.vocab_size) for asked, more in due])
        logits = self.processor.apply(logits, context)
        return {asked.name: int(row.argmax()) for (asked, _), row in zip(due, logits, strict=True)}

    def preempt(self, asked: Asked) -> None:
        """Its slot is free for others; it gets one again when it goes on."""
        name = str(asked.name)
        if name in self.states.req_id_to_index:
            slot = self.states.req_id_to_index.pop(name)
            del self.states.index_to_req_id[slot]
            self.states.free_indices.insert(0, slot)

    finish = preempt


def drive(batch: Any, requests: list[Asked], seed: int) -> None:
    """Runs the requests to their ends: in any order, in parts, some of them begun anew in between."""
    chance = random.Random(seed)
    running: list[Asked] = []
    waiting = sorted(requests, key=lambda asked: asked.arrives)
    step = 0
    while running or waiting:
        while waiting and waiting[0].arrives <= step and len(running) < PLACES:
            running.append(waiting.pop(0))
        for asked in [one for one in running if one.computed and chance.random() < 0.06]:
            asked.computed, asked.preempted = 0, asked.preempted + 1
            running.remove(asked)
            waiting.insert(0, asked)
            batch.preempt(asked)
        due = []
        for asked in chance.sample(running, len(running)):
            left = asked.length - asked.computed
            due.append((asked, chance.randint(1, left) if left > 1 else 1))
        if due:
            found = batch.run(due)
            for asked, more in due:
                asked.computed += more
                if asked.computed == asked.length:
                    asked.tokens.append(found[asked.name])
        for asked in [one for one in running if len(one.tokens) == one.wants]:
            running.remove(asked)
            batch.finish(asked)
        step += 1
