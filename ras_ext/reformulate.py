"""Stage 1: the model writes one sentence on what in the image matters for safety, and the query is put anew.

Reformulated query = safety prompt + visual context + question (arXiv 2510.13698). The question is not shown to the
model while it looks, so that it describes the image and does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ras_ext.conversation import Request
from ras_ext.generation import Greedy, decode, fit_for_prompt, greedy
from ras_ext.prompts import Prompts


def visual_contexts(
    model: Any, processor: Any, requests: Sequence[Request], prompts: Prompts, write: Greedy | None = None
) -> list[str]:
    """One sentence of visual context per request, ``""`` for requests without an image."""
    # What is shared has all rows: the few without an image are run along and not listened to.
    seen = [index for index, request in enumerate(requests) if request.has_image or write]
    contexts = [""] * len(requests)
    if any(request.has_image for request in requests):
        asked = looking([requests[index] for index in seen], prompts)
        rows, _ = (write or partial(greedy, model, processor))(asked, prompts.max_context_tokens)
        for index, sentence in zip(seen, decode(model, processor, rows), strict=True):
            contexts[index] = fit_for_prompt(model, sentence.text) if requests[index].has_image else ""
    return contexts


def looking(requests: Sequence[Request], prompts: Prompts) -> list[Request]:
    """The prompts of this stage: the images, and the question what in them matters."""
    return [request.alone(prompts.visual_context) for request in requests]


def reformulate(request: Request, visual_context: str, prompts: Prompts) -> Request:
    """The request whose last turn carries safety prompt, visual context and question; its image stays in place."""
    return request.with_query(prompts.reformulate(request.query, visual_context))
