"""The defence in vLLM's offline engine: many conversations at once, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ras_ext
from ras_ext.errors import InputError, ModelError
from ras_ext.judge import opens_with_refusal
from ras_ext.models.load import locate
from ras_ext.serve import selftest, stages
from ras_ext.serve.opening import check_engine, end_tokens, engine_settings
from ras_ext.serve.packs import Held, Packs, load
from ras_ext.serve.receipt import STEERED, Judged, Receipt
from ras_ext.vectors import SteeringVectors

CONTEXTS = ("always", "never")
_ATTEMPTS = 3  # to score a request that the engine began anew


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
        self._look = context == "always"
        try:
            self._load(held, carrier)
        except BaseException:
            self.close()
            raise

    def assess(self, conversations: Sequence[stages.Messages], *, pack: str | None = None) -> list[Judged]:
        """Stages 1 and 2 for conversations in OpenAI's form."""
        turns = [stages.checked(messages) for messages in conversations]
        return self._judge(turns, self.packs.get(pack))

    def chat(
        self,
        conversations: Sequence[stages.Messages],
        sampling_params: Any = None,
        *,
        pack: str | None = None,
        strength: float = 1.0,
        risk: Sequence[float] | None = None,
        **options: Any,
    ) -> list[ServedAnswer]:
        """Answers conversations in OpenAI's form.

        Args:
            sampling_params: vLLM's, of all answers or one for each.
            strength: multiplies every risk; doses end at 1.
            risk: one for each conversation, where it is known: stages 1 and 2 are left out.
            options: further keywords of ``LLM.chat`` for the answers.
        """
        held = self.packs.get(pack)
        turns = [stages.checked(messages) for messages in conversations]
        if risk is None:
            judged = self._judge(turns, held)
        elif len(risk) != len(turns):
            raise InputError(f"risk must be one number per conversation, got {len(risk)} for {len(turns)}")
        else:
            judged = [Judged(float(one), float("nan"), "") for one in risk]
        asked = []
        for found, base in zip(judged, _one_each(sampling_params, len(turns)), strict=True):
            one = base.clone()
            one.extra_args = {**(one.extra_args or {}), **self.packs.steering(held, found.risk, strength)}
            asked.append(one)
        start = time.perf_counter()
        outputs = self._chat(turns, asked, **options)
        seconds = time.perf_counter() - start
        return [self._answer(held, *row, strength, seconds) for row in zip(outputs, judged, strict=True)]

    def status(self) -> list[dict[str, Any]]:
        """What every worker holds and has done."""
        return list(self.llm.collective_rpc("ras_status"))

    def close(self) -> None:
        """Ends the engine and its processes."""
        self.llm.llm_engine.engine_core.shutdown()

    def _load(self, held: Sequence[Held], carrier: str) -> None:
        """Gives the workers their packs, and shows that they act. Raises where anything is amiss."""
        config, tokenizer = self.llm.llm_engine.vllm_config, self.llm.get_tokenizer()
        check_engine(config, tokenizer, held)
        self.packs = Packs.of(held, end_tokens(config, tokenizer), carrier)
        blobs = self.packs.blobs()
        self.packs.agreed(self._loaded(blobs, carrier), blobs)
        for one in held:
            self._test(one)

    def _loaded(self, blobs: Sequence[bytes], carrier: str) -> list[dict[str, Any]]:
        try:
            return list(self.llm.collective_rpc("ras_load", args=(blobs, carrier, ras_ext.__version__)))
        except Exception as error:  # what a worker raised comes back as text in an exception of vLLM's
            raise ModelError(f"a worker did not take the vectors in: {error}") from None

    def _judge(self, turns: Sequence[list[dict[str, Any]]], held: Held) -> list[Judged]:
        from vllm import SamplingParams

        prompts, start = held.vectors.prompts, time.perf_counter()
        contexts, cached = [""] * len(turns), [0] * len(turns)
        seen = [at for at, messages in enumerate(turns) if self._look and stages.has_image(messages)]
        if seen:
            asked = SamplingParams(**self.packs.looking(held))
            for at, output in zip(
                seen, self._chat([stages.looking(turns[at], prompts) for at in seen], asked), strict=True
            ):
                contexts[at], cached[at] = output.outputs[0].text.strip(), output.num_cached_tokens or 0
        looked = time.perf_counter()
        similarity = self._scored(
            [stages.reformulated(*row, prompts) for row in zip(turns, contexts, strict=True)], held
        )
        seconds = {"look": looked - start, "judge": time.perf_counter() - looked}
        return [
            Judged(held.risk(found), found, context, seconds, {"look": first, "judge": second})
            for (found, second), context, first in zip(similarity, contexts, cached, strict=True)
        ]

    def _scored(self, prompts: Sequence[list[dict[str, Any]]], held: Held) -> list[tuple[float, int]]:
        """Similarities and cached tokens; what the engine began anew in the middle is scored once more."""
        from vllm import SamplingParams

        asked = SamplingParams(**self.packs.judging(held))
        found: dict[int, tuple[float, int]] = {}
        for _ in range(_ATTEMPTS):
            due = [at for at in range(len(prompts)) if at not in found]
            if not due:
                break
            for at, output in zip(due, self._chat([prompts[at] for at in due], asked), strict=True):
                similarity = self.packs.heard(held, output.outputs[0].token_ids)
                if similarity is not None:
                    found[at] = similarity, output.num_cached_tokens or 0
        if len(found) < len(prompts):
            raise ModelError("the engine has no room to judge these requests at once; ask for fewer, or give it memory")
        return [found[at] for at in range(len(prompts))]

    def _chat(self, conversations: Sequence[Any], params: Any, **options: Any) -> list[Any]:
        return list(self.llm.chat(list(conversations), params, use_tqdm=False, **options))

    def _answer(self, held: Held, output: Any, judged: Judged, strength: float, seconds: float) -> ServedAnswer:
        said = output.outputs[0]
        dose = held.dose(judged.risk, strength)[: len(said.token_ids)]
        receipt = Receipt(
            action=STEERED,
            risk=judged.risk,
            similarity=judged.similarity,
            visual_context=judged.visual_context,
            dose=dose,
            pack=held.vectors.id,
            revision=held.revision,
            schedule=held.vectors.schedule,
            carrier=self.packs.carrier,
            seconds={**judged.seconds, "answer": seconds},
            cached={**judged.cached, "answer": output.num_cached_tokens or 0},
        )
        text = said.text.strip()
        return ServedAnswer(text, len(said.token_ids), opens_with_refusal(text), receipt, output)

    def _test(self, held: Held) -> None:
        """Raises ModelError unless a request with this pack is really steered and judged."""
        from vllm import SamplingParams

        hello = [[{"role": "user", "content": selftest.QUESTION}]]
        steered, alone = (
            self._chat(hello, SamplingParams(**selftest.parameters(held, full)))[0].outputs[0].token_ids
            for full in (True, False)
        )
        scored = self._chat(hello, SamplingParams(**self.packs.judging(held)))[0].outputs[0].token_ids
        selftest.check(self.packs, held, steered, alone, self.packs.heard(held, scored))


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
