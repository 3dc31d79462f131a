"""Stages 1 and 2 of one conversation, as a generator: it yields what to ask of the engine and is sent what came of it.

So they are written once, for engines that are waited for and for engines that are awaited.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from ras_ext.errors import ModelError, UndefendedError
from ras_ext.serve import stages
from ras_ext.serve.packs import Held, Packs
from ras_ext.serve.receipt import Judged

CONTEXTS = ("always", "never")
_ATTEMPTS = 3  # to score a request that the engine began anew

# (turns in OpenAI's form, keywords of vLLM's SamplingParams) → vLLM's finished RequestOutput
Asked = tuple[list[dict[str, Any]], dict[str, Any]]


def judging(packs: Packs, held: Held, turns: list[dict[str, Any]], *, look: bool) -> Generator[Asked, Any, Judged]:
    """What is found out about a conversation (:func:`ras_ext.serve.stages.checked`). Raises as :func:`scored`."""
    prompts, context, cached, start = held.vectors.prompts, "", 0, time.perf_counter()
    if look and stages.has_image(turns):
        output = yield stages.looking(turns, prompts), packs.looking(held)
        context, cached = output.outputs[0].text.strip(), output.num_cached_tokens or 0
    looked = time.perf_counter()
    similarity, again = yield from scored(packs, held, stages.reformulated(turns, context, prompts))
    seconds = {"look": looked - start, "judge": time.perf_counter() - looked}
    return Judged(held.risk(similarity), similarity, context, seconds, {"look": cached, "judge": again})


def scored(packs: Packs, held: Held, prompt: list[dict[str, Any]]) -> Generator[Asked, Any, tuple[float, int]]:
    """The similarity of a prompt's answer, and how many of its tokens were in the engine's cache.

    Asked for again where the engine began it anew in the middle: what is told then is nothing, or pieces of two.

    Raises:
        UndefendedError: the engine's processor did not act.
        ModelError: the engine began the request anew again and again.
    """
    wrong: UndefendedError | None = None
    for _ in range(_ATTEMPTS):
        output = yield prompt, packs.judging(held)
        try:
            similarity = packs.heard(held, output.outputs[0].token_ids)
        except UndefendedError as error:
            wrong = error
            continue
        if similarity is not None:
            return similarity, output.num_cached_tokens or 0
    if wrong is not None:
        raise wrong
    raise ModelError("the engine has no room to judge this request now; ask for fewer at once, or give it memory")
