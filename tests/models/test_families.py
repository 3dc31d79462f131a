"""Every family from end to end on a tiny model of random weights: calibrated, guarded, both carriers compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from models import tiny
from PIL import Image

from ras_ext import Guard, calibrate
from ras_ext import models as families
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError
from ras_ext.generation import GREEDY, answer, encode, generate
from ras_ext.prompts import Prompts
from ras_ext.vectors import SteeringVectors

# Families that are code of their checkpoints have stand-ins and tests of their own, in legacy/.
NAMES = [family.name for family in families.FAMILIES if family.encoding is None]
STEPS = 3
PROMPTS = Prompts(
    visual_context="w40 w41", safety="w42 w43", reformulation="{safety} {visual_context} {query}", max_context_tokens=4
)


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def three() -> list[Request]:
    """One request without an image, two with images of different shapes and texts of different lengths."""
    return [
        Request.of(None, "w1"),
        Request.of(picture(60, 48), "w1 w2 w3 w4"),
        Request.of(picture(30, 90), "w5 w6"),
    ]


class Tiny:
    """A family's tiny model with the vectors calibrated for it."""

    def __init__(self, name: str, padding_side: str) -> None:
        self.name = name
        self.model, self.processor = tiny.build(name, padding_side)
        self.vectors: SteeringVectors = calibrate(
            self.model,
            self.processor,
            unsafe=[f"w{n} w{n + 1}" for n in range(4)],
            safe=[f"w{n} w9" for n in range(20, 24)],
            prompts=PROMPTS,
            max_new_tokens=4,
        )

    def guard(self, carrier: str) -> Guard:
        return Guard(self.model, self.processor, self.vectors, carrier=carrier)


@pytest.fixture(scope="module", params=[f"{name}-{side}" for name in NAMES for side in ("left", "right")])
def one(request: pytest.FixtureRequest) -> Tiny:
    return Tiny(*request.param.split("-"))


def run(guard: Guard, **settings: Any) -> Any:
    return generate(
        guard.model,
        guard.processor,
        three(),
        **GREEDY,
        **settings,
        max_new_tokens=STEPS,
        output_logits=True,
        return_dict_in_generate=True,
    )[0]


def test_a_family_is_read_calibrated_and_guarded(one: Tiny) -> None:
    guard = one.guard("state")
    assert guard.parts.family.name == one.name
    assert guard.parts.n_layers == len(guard.parts.layers)
    assert guard.parts.linear_head
    answers = guard.generate_batch(three(), max_new_tokens=5)
    assert not answers[0].visual_context
    assert all(0 <= found.risk <= 1 and np.isfinite(found.similarity) for found in answers)
    other = one.guard("logits").generate_batch(three(), max_new_tokens=5)
    assert [found.text for found in answers] == [found.text for found in other]
    assert [found.risk for found in answers] == [found.risk for found in other]


def test_the_norm_is_what_the_head_reads(one: Tiny) -> None:
    parts, seen = one.guard("state").parts, []
    handle = parts.final_norm.register_forward_hook(lambda _module, _args, output: seen.append(output))
    with torch.inference_mode():
        output = one.model(**encode(one.model, one.processor, three()))
    handle.remove()
    assert len(seen) == 1
    torch.testing.assert_close(parts.logits(seen[0]), output.logits.float())
    assert not torch.allclose(parts.logits(seen[0] * 1.1), output.logits.float())


def test_both_carriers_give_the_same_logits(one: Tiny) -> None:
    state, logits = one.guard("state"), one.guard("logits")
    risks = [1.0, 0.5, 0.25]
    plain = run(state)
    with state.steering(risks):
        steered = run(state)
    mixed = run(logits, logits_processor=logits.logits_processor(risks), output_scores=True)
    assert torch.equal(steered.sequences, mixed.sequences)
    for a, b in zip(steered.logits, mixed.scores, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain.logits[0], steered.logits[0], atol=1e-2)


def test_a_batch_answers_as_its_rows_do_alone(one: Tiny) -> None:
    settings = {**GREEDY, "max_new_tokens": 4}
    together = answer(one.model, one.processor, three(), **settings)
    assert together == [answer(one.model, one.processor, [request], **settings)[0] for request in three()]


def test_the_picture_is_seen_and_only_where_there_is_one(one: Tiny) -> None:
    """The tower runs once in the pass over the prompt; another picture gives other logits, in its row only."""
    parts, calls = one.guard("state").parts, []
    handle = parts.vision.register_forward_hook(lambda *_: calls.append(1))
    try:
        seen = run(one.guard("state"))
        n_images = len(calls)
        answer(one.model, one.processor, three()[:1], **{**GREEDY, "max_new_tokens": 2})
    finally:
        handle.remove()
    assert n_images in (1, 2), "two pictures, at once or one after the other"
    assert len(calls) == n_images
    requests = three()
    requests[1] = Request.of(picture(60, 48).transpose(Image.Transpose.ROTATE_180), requests[1].query)
    other = generate(
        one.model,
        one.processor,
        requests,
        **{**GREEDY, "max_new_tokens": 1, "output_logits": True, "return_dict_in_generate": True},
    )[0]
    same = [torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(seen.logits[0], other.logits[0], strict=True)]
    assert same == [True, False, True]


def test_a_cap_on_the_logits_leaves_the_state_carrier_only(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Tiny("gemma3", "left")
    monkeypatch.setattr(subject.model.config.text_config, "final_logit_softcapping", 30.0)
    guard = Guard(subject.model, subject.processor, subject.vectors, allow_mismatch=("config_sha256",))
    assert len(guard.generate_batch(three(), max_new_tokens=2)) == 3
    with pytest.raises(ModelError, match="final_logit_softcapping"):
        guard.logits_processor(1.0)


def test_gemmas_image_tokens_are_told_to_the_model() -> None:
    """They see each other in both directions, which the model knows from `token_type_ids` only."""
    model, processor = tiny.build("gemma3")
    batch = encode(model, processor, three())
    assert torch.equal(batch["token_type_ids"].bool(), batch["input_ids"] == tiny.IMAGE)
    with torch.inference_mode():
        told = model(**batch).logits
        untold = model(**{**batch, "token_type_ids": torch.zeros_like(batch["token_type_ids"])}).logits
    assert not torch.allclose(told[1, -1], untold[1, -1])


@pytest.mark.parametrize("family", [family for family in families.FAMILIES if family.name in NAMES], ids=NAMES)
def test_a_usual_template_marks_the_image_once_and_ends_where_the_answer_begins(family: families.Family) -> None:
    if family.chat_template is None:
        assert family.name == "llava_next"
        return
    _, processor = tiny.build(family.name)
    mark = getattr(processor, "boi_token", None) or processor.image_token
    turns = Request.of(picture(20, 20), "w3 w4", history=[("w1", "w2")]).messages
    text = processor.apply_chat_template(
        list(turns), chat_template=family.chat_template, tokenize=False, add_generation_prompt=True
    )
    assert text.count(mark) == 1
    assert text.index(mark) < text.index("w1") < text.index("w2") < text.index("w3 w4")
    assert (
        text.rstrip()
        .lower()
        .endswith(("assistant:", "assistant", "<start_of_turn>model", "[/inst]", "<|end_header_id|>"))
    )
    assert "None" not in text


def test_an_image_token_in_the_question_is_refused() -> None:
    model, processor = tiny.build("qwen2_5_vl")
    with pytest.raises(InputError, match="2 image tokens"):
        encode(model, processor, [Request.of(picture(30, 30), f"w1 {processor.image_token}")])
