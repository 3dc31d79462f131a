"""The defence in vLLM's online engine: three requests of the engine for one answer, each waiting for nobody else's.

They begin alike, with the system prompt and the image, so that vLLM's encoder cache and prefix cache hold the second
and the third one's beginning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import Any

import ras_ext
from ras_ext.errors import InputError, ModelError
from ras_ext.serve import selftest, stages
from ras_ext.serve.asking import chat_form, whole
from ras_ext.serve.engine.order import PASS, Order
from ras_ext.serve.judging import CONTEXTS, Asked, judging
from ras_ext.serve.opening import not_taken, packs_for
from ras_ext.serve.packs import Held, Packs
from ras_ext.serve.receipt import STEERED, Judged, Receipt

# turns in OpenAI's form → what vLLM's engine takes as a prompt
Render = Callable[[list[dict[str, Any]]], Awaitable[Any]]


class AsyncGuard:
    """vLLM's ``AsyncLLM``, defended. Made by :meth:`over`.

    Attributes:
        engine: the engine; made with :func:`ras_ext.serve.opening.engine_settings`.
        packs: what it holds.
    """

    def __init__(self, engine: Any, packs: Packs, *, context: str = "always", chat_template: str | None = None) -> None:
        if context not in CONTEXTS:
            raise InputError(f"context must be one of {', '.join(CONTEXTS)}, got {context!r}")
        self.engine, self.packs = engine, packs
        self._look, self._chat_template = context == "always", chat_template
        self._asked = 0

    @classmethod
    async def over(
        cls,
        engine: Any,
        held: Sequence[Held],
        *,
        carrier: str = "auto",
        context: str = "always",
        chat_template: str | None = None,
    ) -> AsyncGuard:
        """Sends packs to every worker of a running engine and tests that they steer.

        Raises:
            PackMismatchError: a pack was made for another model.
            InputError, ModelError: the defence would not act.
        """
        packs = await cls._sent(engine, held, carrier, chat_template)
        guard = cls(engine, packs, context=context, chat_template=chat_template)
        await guard.self_test()
        return guard

    async def take(self, held: Sequence[Held]) -> None:
        """Holds these packs from now on, once every worker has them and was tested; else goes on as it was."""
        packs = await self._sent(self.engine, held, self.packs.carrier, self._chat_template)
        await self.self_test(packs)
        self.packs = packs

    async def judge(self, turns: list[dict[str, Any]], held: Held, render: Render | None = None, **how: Any) -> Judged:
        """Stages 1 and 2 for one conversation (:func:`ras_ext.serve.stages.checked`); `how` goes to the engine."""
        found: Judged = await self._run(judging(self.packs, held, turns, look=self._look), render, **how)
        return found

    async def chat(
        self,
        messages: stages.Messages,
        sampling_params: Any = None,
        *,
        pack: str | None = None,
        strength: float = 1.0,
        **how: Any,
    ) -> AsyncIterator[tuple[Any, Receipt]]:
        """Answers one conversation: vLLM's outputs as they come, each with the receipt."""
        from vllm import SamplingParams

        held, turns = self.packs.get(pack), stages.named(stages.checked(messages))
        judged = await self.judge(turns, held, **how)
        asked = (sampling_params or SamplingParams(temperature=0.0, max_tokens=128)).clone()
        asked.extra_args = {**(asked.extra_args or {}), **self.packs.steering(held, judged.risk, strength)}
        receipt = self.receipt(held, judged, strength=strength)
        async for output in self.engine.generate(await self._render(turns), asked, self._name("answer"), **how):
            yield output, receipt

    def receipt(self, held: Held, judged: Judged, *, action: str = STEERED, strength: float = 1.0) -> Receipt:
        """What goes with an answer of which this was found."""
        return Receipt.of(held, judged, carrier=self.packs.carrier, action=action, strength=strength)

    def order(self, held: Held, judged: Judged, action: str, strength: float) -> dict[str, Any]:
        """``extra_args`` of an answer under a receipt's action."""
        if action == STEERED:
            return self.packs.steering(held, judged.risk, strength)
        return Order(PASS).to_args()

    async def self_test(self, packs: Packs | None = None) -> None:
        """Raises UndefendedError unless, on every engine and for every pack, a request is really steered and judged."""
        tested = packs or self.packs
        for where in _engines(self.engine):
            for held in tested.held.values():
                await self._run(selftest.testing(tested, held), None, **where)

    async def status(self) -> list[dict[str, Any]]:
        """What every worker of every engine holds and has done."""
        return await _everywhere(self.engine, "ras_status")

    @classmethod
    async def _sent(cls, engine: Any, held: Sequence[Held], carrier: str, chat_template: str | None) -> Packs:
        packs = packs_for(engine.vllm_config, engine.get_tokenizer(), held, carrier, chat_template)
        blobs = packs.blobs()
        try:
            statuses = await _everywhere(engine, "ras_load", blobs, carrier, ras_ext.__version__)
        except Exception as error:
            raise not_taken(error) from None
        packs.agreed(statuses, blobs)
        return packs

    async def _run(self, work: Generator[Asked, Any, Any], render: Render | None, **how: Any) -> Any:
        """Drives a generator to its end: what it yields is asked of the engine, and what comes of it is sent back."""
        output = None
        while True:
            try:
                turns, parameters = work.send(output)
            except StopIteration as done:
                return done.value
            output = await self._final(await (render or self._render)(turns), parameters, **how)

    async def _render(self, turns: list[dict[str, Any]]) -> Any:
        renderer = self.engine.renderer
        _, (prompt,) = await renderer.render_chat_async([turns], *chat_form(renderer, self._chat_template))
        return prompt

    async def _final(self, prompt: Any, parameters: dict[str, Any], **how: Any) -> Any:
        """The engine's whole output for one of our own requests."""
        generated = self.engine.generate(prompt, whole(parameters), self._name("stage"), **how)
        outputs = [one async for one in generated]
        if not outputs or not outputs[-1].finished:
            raise ModelError("the engine ended a request without an answer; see its log")
        return outputs[-1]

    def _name(self, kind: str) -> str:
        self._asked += 1
        return f"ras-{kind}-{self._asked}"


def _engines(engine: Any) -> list[dict[str, int]]:
    """How each engine is named in a request: under data parallelism there are several, else nothing is said."""
    parallel = engine.vllm_config.parallel_config
    found = parallel.data_parallel_size_local if parallel.local_engines_only else parallel.data_parallel_size
    return [{}] if found < 2 else [{"data_parallel_rank": rank} for rank in range(found)]


async def _everywhere(engine: Any, method: str, *args: Any) -> list[dict[str, Any]]:
    """What every worker of every engine answers; `collective_rpc` asks all and tells of the first engine only."""
    if len(_engines(engine)) == 1:
        return list(await engine.collective_rpc(method, args=args))
    answers = await engine.engine_core.call_utility_all_async("collective_rpc", method, None, args, None)
    return [status for one in answers for status in one]
