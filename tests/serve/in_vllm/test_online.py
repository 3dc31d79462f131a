"""The defence in an AsyncLLM of one's own: answers as the guard's, several at once, packs taken in while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from served import ENGINE, conversation

from ras_ext.errors import InputError
from ras_ext.guard import Guard
from ras_ext.items import Item
from ras_ext.models.load import locate

ORGANISM = "builtin:organism"


def test_answers_are_the_guard_s_and_packs_can_be_taken_in(organism: Any, items: list[Item], tmp_path: Path) -> None:
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    from ras_ext.serve import AsyncGuard
    from ras_ext.serve.opening import engine_settings
    from ras_ext.serve.packs import load

    chosen = [*items[:8], *items[-8:]]
    guard = Guard(organism.model, organism.processor, organism.vectors)
    expected = guard.generate_batch([item.request() for item in chosen], max_new_tokens=24)
    paper = tmp_path / "paper"
    organism.vectors.with_schedule("paper").save(paper)

    async def story() -> tuple[list[Any], list[Any]]:
        engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=locate(ORGANISM), **engine_settings(**ENGINE)))
        try:
            guarded = await AsyncGuard.over(engine, [load(ORGANISM)])

            async def ask(item: Item, **how: Any) -> Any:
                params = SamplingParams(temperature=0.0, max_tokens=24)
                return [found async for found in guarded.chat(conversation(item), params, **how)]

            first = await asyncio.gather(*map(ask, chosen))
            with pytest.raises(InputError, match="there is no pack 'other' here"):
                await ask(chosen[0], pack="other")
            await guarded.take([load(ORGANISM), load(str(paper))])
            by_paper = await ask(chosen[2], pack=str(paper))
            return list(first), by_paper
        finally:
            engine.shutdown()

    first, by_paper = asyncio.run(story())
    for outputs, wanted in zip(first, expected, strict=True):
        said = "".join(output.outputs[0].text for output, _ in outputs[-1:]).strip()
        assert said == wanted.text
        assert outputs[-1][1].risk == pytest.approx(wanted.risk, abs=1e-3)
    assert by_paper[-1][1].schedule == "paper"
