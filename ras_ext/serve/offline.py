"""The defence in vLLM's offline engine: many conversations at once, none of which waits for another one's stage."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ras_ext
from ras_ext.errors import InputError
from ras_ext.judge import opens_with_refusal
from ras_ext.models.load import locate
from ras_ext.serve import selftest, stages
from ras_ext.serve.asking import chat_form, whole
from ras_ext.serve.judging import CONTEXTS, Asked, judging
from ras_ext.serve.opening import engine_settings, not_taken, packs_for
from ras_ext.serve.packs import Held, load
from ras_ext.serve.receipt import Judged, Receipt
from ras_ext.vectors import SteeringVectors

_Found = TypeVar("_Found")
_AHEAD = 3  # conversations under way for each one that is in the batch: enough for the batch to stay full


@dataclass(frozen=True)
class ServedAnswer:
    """An answer with its receipt; `output` is vLLM's own."""

    text: str
    tokens: int
    refused: bool
    receipt: Receipt
    output: Any


class GuardedLLM:
    """vLLM's ``LLM``, defended.

    Args:
        model: ``builtin:organism``, a folder, or a Hub id.
        vectors: packs by ``NAME[@rev]``, or vectors, the first of them the default.
        schedule: a schedule of the packs by name; ``None`` takes each pack's default.
        carrier: ``"logits"``, ``"state"``, or ``"auto"``: logits wherever mixing them is exact.
        context: ``"always"`` looks at the image before judging, ``"never"`` judges by the safety prompt alone.
        engine: keywords of ``vllm.LLM``.

    Raises:
        InputError, ModelError, PackMismatchError: the defence would not act; nothing is served then.
    """

    def __init__(
        self,
        model: str | Path,
        vectors: str | SteeringVectors | Sequence[str | SteeringVectors],
        *,
        schedule: str | None = None,
        carrier: str = "auto",
        context: str = "always",
        **engine: Any,
    ) -> None:
        if context not in CONTEXTS:
            raise InputError(f"context must be one of {', '.join(CONTEXTS)}, got {context!r}")
        given = [vectors] if isinstance(vectors, (str, SteeringVectors)) else list(vectors)
        held = [_held(one, schedule) for one in given]
        settings = engine_settings(**engine)
        from vllm import LLM

        self.llm = LLM(locate(str(model)), **settings)
        self._look, self._number = context == "always", 0
        try:
            self._load(held, carrier)
        except BaseException:
            self.close()
            raise

    def assess(self, conversations: Sequence[stages.Messages], *, pack: str | None = None) -> list[Judged]:
        """Stages 1 and 2 for conversations in OpenAI's form."""
        held = self.packs.get(pack)
        turns = [stages.named(stages.checked(messages)) for messages in conversations]
        return self._run([judging(self.packs, held, one, look=self._look) for one in turns])

    def chat(
        self,
        conversations: Sequence[stages.Messages],
        sampling_params: Any = None,
        *,
        pack: str | None = None,
        strength: float = 1.0,
        risk: Sequence[float] | None = None,
    ) -> list[ServedAnswer]:
        """Answers conversations in OpenAI's form.

        Args:
            sampling_params: vLLM's, of all answers or one for each.
            strength: multiplies every risk; doses end at 1.
            risk: one for each conversation, where it is known: stages 1 and 2 are left out.
        """
        held = self.packs.get(pack)
        turns = [stages.named(stages.checked(messages)) for messages in conversations]
        if risk is not None and len(risk) != len(turns):
            raise InputError(f"risk must be one number per conversation, got {len(risk)} for {len(turns)}")
        known = [None if risk is None else Judged(float(risk[at]), float("nan"), "") for at in range(len(turns))]
        params = _one_each(sampling_params, len(turns))
        return self._run([self._answering(held, *row, strength) for row in zip(turns, known, params, strict=True)])

    def status(self) -> list[dict[str, Any]]:
        """What every worker holds and has done."""
        return list(self.llm.collective_rpc("ras_status"))

    def close(self) -> None:
        """Ends the engine and its processes."""
        self.llm.llm_engine.engine_core.shutdown()

    def _answering(
        self, held: Held, turns: list[dict[str, Any]], judged: Judged | None, params: Any, strength: float
    ) -> Generator[tuple[Any, Any], Any, ServedAnswer]:
        """All three stages of one conversation, or the third where `judged` is known."""
        if judged is None:
            judged = yield from judging(self.packs, held, turns, look=self._look)
        asked = params.clone()
        asked.extra_args = {**(params.extra_args or {}), **self.packs.steering(held, judged.risk, strength)}
        start = time.perf_counter()
        output = yield turns, asked
        said = output.outputs[0]
        receipt = Receipt.of(held, judged, carrier=self.packs.carrier, strength=strength, steps=len(said.token_ids))
        receipt.seconds["answer"] = time.perf_counter() - start
        receipt.cached["answer"] = output.num_cached_tokens or 0
        text = said.text.strip()
        return ServedAnswer(text, len(said.token_ids), opens_with_refusal(text), receipt, output)

    def _run(self, works: Sequence[Generator[Any, Any, _Found]]) -> list[_Found]:
        """Drives generators to their ends: what one yields is asked of the engine, what comes of it is sent back."""
        engine = self.llm.llm_engine
        waiting: dict[str, int] = {}
        found: dict[int, _Found] = {}

        def go_on(at: int, output: Any = None) -> None:
            try:
                asked = works[at].send(output)
            except StopIteration as done:
                found[at] = done.value
                return
            self._number += 1
            waiting[f"ras-{self._number}"] = at
            self._add(f"ras-{self._number}", asked)

        # No more than these under way: what a stage left in the engine's caches is still there for the next one.
        room = _AHEAD * int(engine.vllm_config.scheduler_config.max_num_seqs)
        begun = 0
        try:
            while len(found) < len(works):
                while begun < min(len(works), len(found) + room):
                    begun += 1
                    go_on(begun - 1)
                for output in engine.step() if waiting else ():
                    if output.finished and output.request_id in waiting:
                        go_on(waiting.pop(output.request_id), output)
        except BaseException:
            engine.abort_request(list(waiting))
            raise
        return [found[at] for at in range(len(works))]

    def _add(self, name: str, asked: Asked | tuple[Any, Any]) -> None:
        """Adds a request to the engine, its prompt rendered as ``LLM.chat`` does."""
        turns, parameters = asked
        renderer = self.llm.llm_engine.renderer
        _, (prompt,) = renderer.render_chat([turns], *chat_form(renderer, self.llm.chat_template))
        self.llm.llm_engine.add_request(name, prompt, whole(parameters))

    def _load(self, held: Sequence[Held], carrier: str) -> None:
        """Gives the workers their packs, and shows that they act. Raises where anything is amiss."""
        config, tokenizer = self.llm.llm_engine.vllm_config, self.llm.get_tokenizer()
        self.packs = packs_for(config, tokenizer, held, carrier, self.llm.chat_template)
        blobs = self.packs.blobs()
        try:
            statuses = self.llm.collective_rpc("ras_load", args=(blobs, carrier, ras_ext.__version__))
        except Exception as error:
            raise not_taken(error) from None
        self.packs.agreed(statuses, blobs)
        for one in held:
            self._run([selftest.testing(self.packs, one)])


def _one_each(sampling_params: Any, number: int) -> list[Any]:
    from vllm import SamplingParams

    if isinstance(sampling_params, Sequence):
        if len(sampling_params) != number:
            raise InputError(f"give one sampling_params, or one per conversation: {number}, got {len(sampling_params)}")
        return list(sampling_params)
    return [sampling_params or SamplingParams(temperature=0.0, max_tokens=128)] * number


def _held(given: str | SteeringVectors, schedule: str | None) -> Held:
    if isinstance(given, str):
        return load(given, schedule=schedule)
    return Held(given.name, given if schedule is None else given.with_schedule(schedule))
