"""The stand-ins with vectors calibrated for them, and requests of every kind; runs under transformers 4.37.2 and 5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from models.legacy import qwen_vl, xcomposer
from PIL import Image

from ras_ext import Guard, SteeringVectors, calibrate, models
from ras_ext.conversation import Request
from ras_ext.generation import GREEDY, generate
from ras_ext.prompts import Prompts

BUILDERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen_vl_chat": qwen_vl.build,
    "internlm_xcomposer2": xcomposer.build,
}
STEPS = 4
PROMPTS = Prompts(
    visual_context="w20 w21", safety="w22 w23", reformulation="{safety} {visual_context} {query}", max_context_tokens=4
)
QUERIES = {"unsafe": [f"w{n} w{n + 1}" for n in range(4)], "safe": [f"w{n} w9" for n in range(20, 24)]}


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def requests() -> list[Request]:
    """Without an image, with one, with one asked about before, and with two and a system turn."""
    return [
        Request.of(None, "w1"),
        Request.of(picture(60, 48), "w1 w2 w3 w4"),
        Request.of(picture(30, 90), "w5 w6", history=[("w7 w8", "w9 w10")]),
        Request.from_messages(
            [
                {"role": "system", "content": "w11 w12"},
                {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "w13"}]},
            ],
            [picture(40, 40), picture(16, 50)],
        ),
    ]


@dataclass(frozen=True)
class Subject:
    """A model with its tokenizer, which is all there is in a processor's place."""

    name: str
    model: Any
    tokenizer: Any
    vectors: SteeringVectors

    @property
    def processor(self) -> Any:
        return models.processor_of(self.model.config, self.tokenizer)

    def guard(self, carrier: str = "state", **settings: Any) -> Guard:
        return Guard(self.model, self.tokenizer, self.vectors, carrier=carrier, **settings)

    def run(self, rows: list[Request] | None = None, **settings: Any) -> Any:
        """What generate returns, logits of all steps among it, and the width of the prompts."""
        given = {**GREEDY, "max_new_tokens": STEPS, "return_dict_in_generate": True, "output_scores": True, **settings}
        return generate(self.model, self.processor, rows or requests(), **given)


@cache
def subject(name: str) -> Subject:
    model, tokenizer = BUILDERS[name]()
    return Subject(name, model, tokenizer, calibrate(model, tokenizer, **QUERIES, prompts=PROMPTS, max_new_tokens=4))
