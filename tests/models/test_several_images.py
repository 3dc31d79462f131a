"""Every family with no, one and two images a request, in one turn or in several, under a system prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from models import tiny
from models.test_families import NAMES, Tiny, picture
from models.test_shared_prefill import SHARING
from PIL import Image

from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.generation import GREEDY, encode, generate

SYSTEM = {"role": "system", "content": "w50 w51"}
FIRST, SECOND = picture(60, 48), picture(30, 90)


def user(*parts: str | Image.Image) -> dict[str, Any]:
    made = [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image", "image": p} for p in parts]
    return {"role": "user", "content": made}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def in_one_turn() -> list[Request]:
    """Rows of 0, 1, 2 and, under a system prompt, 2 images of different shapes."""
    turns = [[user("w1")], [user(FIRST, "w1 w2 w3 w4")], [user(FIRST, SECOND, "w5 w6")]]
    return [Request.from_messages(one) for one in (*turns, [SYSTEM, user(SECOND, FIRST, "w7")])]


def in_two_turns() -> list[Request]:
    """One image asked about earlier and another now; and a conversation of words."""
    return [
        Request.from_messages([SYSTEM, user(FIRST, "w1 w2"), said("w8"), user(SECOND, "w3")]),
        Request.from_messages([user("w4"), said("w9"), user("w5 w6")]),
    ]


@pytest.fixture(scope="module", params=NAMES)
def one(request: pytest.FixtureRequest) -> Tiny:
    return Tiny(request.param, "left")


def first_logits(one: Tiny, requests: list[Request]) -> torch.Tensor:
    settings = {**GREEDY, "max_new_tokens": 1, "output_logits": True, "return_dict_in_generate": True}
    return generate(one.model, one.processor, requests, **settings)[0].logits[0]


def test_a_batch_of_several_images_is_guarded_as_its_rows_are_alone(one: Tiny) -> None:
    guard, calls = one.guard("state"), []
    handle = guard.parts.vision.register_forward_hook(lambda *_: calls.append(1))
    together = guard.generate_batch(in_one_turn(), max_new_tokens=4)
    handle.remove()
    alone = [guard.generate_batch([request], max_new_tokens=4)[0] for request in in_one_turn()]
    for a, b in zip(together, alone, strict=True):
        assert (a.text, a.visual_context) == (b.text, b.visual_context)
        assert a.risk == pytest.approx(b.risk, abs=1e-4)
    assert len({a.risk for a in together}) == len(together), "the rows are too alike to tell them apart"
    prefills = 1 if one.name in SHARING else 3
    assert [a.image_prefills for a in together] == [0, prefills, prefills, prefills]
    # Mllama runs rows with one image apart from those with two.
    assert len(calls) == prefills * (2 if one.name == "mllama" else 1)


def test_exchanging_two_images_changes_what_is_answered(one: Tiny) -> None:
    requests = in_one_turn()
    turned = [Request(request.messages, request.images[::-1]) for request in requests]
    a, b = first_logits(one, requests), first_logits(one, turned)
    same = [torch.allclose(x, y, rtol=1e-4, atol=1e-4) for x, y in zip(a, b, strict=True)]
    assert same == [True, True, False, False]


def test_images_in_two_turns_are_guarded_in_a_batch_as_alone_and_in_a_chat(one: Tiny) -> None:
    guard = one.guard("state")
    together = guard.generate_batch(in_two_turns(), max_new_tokens=4)
    assert [a.image_prefills for a in together] == [3, 0], "the prompts of the stages differ before the last image"
    for a, request in zip(together, in_two_turns(), strict=True):
        b = guard.chat(request.messages, request.images, max_new_tokens=4)
        assert (a.text, a.visual_context) == (b.text, b.visual_context)
        assert a.risk == pytest.approx(b.risk, abs=1e-4)
    assert together[0].visual_context
    assert not together[1].visual_context
    first, second = in_two_turns()[0].images
    assert not torch.allclose(
        first_logits(one, in_two_turns()[:1]),
        first_logits(one, [Request(in_two_turns()[0].messages, (second, first))]),
        atol=1e-4,
    )


def test_the_system_prompt_stands_in_the_prompt_of_every_stage(one: Tiny) -> None:
    guard, prompts = one.guard("state"), []

    def see(_module: Any, args: Any) -> None:
        if args[0].shape[1] > 1:
            prompts.append(args[0][0].tolist())

    guard.prefill = "separate"
    handle = one.model.get_input_embeddings().register_forward_pre_hook(see)
    guard.generate_batch(in_one_turn()[3:], max_new_tokens=1)
    handle.remove()
    told = one.processor.tokenizer("w50 w51", add_special_tokens=False)["input_ids"]
    assert len(prompts) == 3
    for prompt in prompts:
        assert [prompt[n : n + 2] for n in range(len(prompt))].count(told) == 1


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_images_that_the_model_could_not_tell_apart_are_refused(name: str) -> None:
    """Without marks around them two images are one run of tokens, for which the model looks up one shape."""
    model, processor = tiny.build(name)
    processor.chat_template = processor.tokenizer.chat_template.replace("<|vision_start|>", "").replace(
        "<|vision_end|>", ""
    )
    assert encode(model, processor, in_one_turn()[:2])
    with pytest.raises(InputError, match="2 images stand in 1 places"):
        encode(model, processor, in_one_turn()[2:3])


def test_mllamas_rows_run_apart_because_they_see_the_padding_of_their_neighbours() -> None:
    """What the guard goes around: the plain model does not give a row in a mixed batch what it gives it alone."""
    one = Tiny("mllama", "left")
    mixed, alone = first_logits(one, in_one_turn()[:3]), first_logits(one, in_one_turn()[:1])
    assert not torch.allclose(mixed[0], alone[0], atol=1e-2)
    even = [in_one_turn()[2], in_one_turn()[3]]
    torch.testing.assert_close(first_logits(one, even)[0], first_logits(one, even[:1])[0], rtol=1e-4, atol=1e-4)
