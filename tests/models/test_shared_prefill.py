"""Every family answers the same whether its image is run once or for each stage; which can do the former is known."""

from __future__ import annotations

import pytest
import torch
from models import tiny
from models.test_families import NAMES, PROMPTS, three

from ras_ext import Guard, calibrate
from ras_ext.prefix import share
from ras_ext.reformulate import looking, reformulate
from ras_ext.states import first_logits

# The rest keeps positions to itself, attends across, or has something beside every token.
SHARING = {
    "llava", "llava_next", "llava_onevision", "internvl", "idefics3", "smolvlm", "pixtral", "mistral3",
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_family_answers_the_same_with_one_prefill(name: str) -> None:
    model, processor = tiny.build(name, "left")
    lists = {"unsafe": ["w1 w2", "w3 w4"], "safe": ["w20 w9", "w21 w9"]}
    vectors = calibrate(model, processor, **lists, prompts=PROMPTS, max_new_tokens=3)
    once, apart = (Guard(model, processor, vectors, prefill=prefill) for prefill in ("shared", "separate"))
    rows = list(
        zip(
            once.generate_batch(three(), max_new_tokens=5), apart.generate_batch(three(), max_new_tokens=5), strict=True
        )
    )
    assert [one.image_prefills for one, _ in rows] == [0, *([1, 1] if name in SHARING else [3, 3])]
    for one, other in rows:
        assert (one.text, one.visual_context) == (other.text, other.visual_context)
        assert one.risk == pytest.approx(other.risk, abs=1e-4)


@pytest.mark.parametrize("name", sorted(SHARING))
def test_the_logits_of_every_stage_are_those_of_its_whole_prompt(name: str) -> None:
    model, processor = tiny.build(name, "left")
    judged = [reformulate(request, "w7 w8", PROMPTS) for request in three()]
    shared = share(model, processor, three(), [looking(three(), PROMPTS), judged])
    assert shared is not None
    for stage in (looking(three(), PROMPTS), judged, three()):
        alone, steps = first_logits(model, processor, stage, 3)
        together, _ = first_logits(model, processor, stage, 3, shared.greedy)
        assert (alone - together)[torch.arange(3) < steps[:, None]].abs().max() < 1e-4
