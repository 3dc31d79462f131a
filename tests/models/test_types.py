"""Every family in bfloat16 and float16: guarded by vectors made in float32 and by its own, both carriers compared.

A type rounds by half its epsilon, and the two carriers round at different places: the state after the norm, or the
logits after the head. What they may differ by is a few such steps of the largest logit.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from models.carriers import apart
from models.test_families import NAMES, PROMPTS, STEPS, Tiny, run, three

from ras_ext import Guard, calibrate

TYPES = (torch.bfloat16, torch.float16)
RISKS = [1.0, 0.5, 0.25]
FEW = 2  # one rounding of the state and one of the logits
# How far the risk of these random models moves: their few logits are large and their scores of no meaning.
MOVES = {torch.bfloat16: 0.1, torch.float16: 0.02}


@pytest.fixture(scope="module", params=NAMES)
def one(request: pytest.FixtureRequest) -> Tiny:
    return Tiny(request.param, "left")


def rounded(one: Tiny, dtype: torch.dtype) -> Any:
    return copy.deepcopy(one.model).to(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=["bf16", "f16"])
def test_both_carriers_give_the_same_logits_within_the_rounding_of_the_type(one: Tiny, dtype: torch.dtype) -> None:
    model = rounded(one, dtype)
    state, logits = (Guard(model, one.processor, one.vectors, carrier=carrier) for carrier in ("state", "logits"))
    assert state.parts.final_norm.weight.dtype == dtype
    plain = run(state)
    with state.steering(RISKS):
        steered = run(state)
    mixed = run(logits, logits_processor=logits.logits_processor(RISKS), output_scores=True)
    weaker = run(logits, logits_processor=logits.logits_processor([0.9, 0.4, 0.15]), output_scores=True)
    allowed = FEW * torch.finfo(dtype).eps
    assert apart(steered, mixed) < allowed
    assert apart(steered, weaker) > allowed
    assert apart(steered, plain) > allowed


@pytest.mark.parametrize("dtype", TYPES, ids=["bf16", "f16"])
def test_the_risk_is_that_of_f32_and_vectors_can_be_made_in_the_type(one: Tiny, dtype: torch.dtype) -> None:
    """The sentence of stage 1 may turn at a word between two types, so what is judged here is the safety prompt's."""
    model = rounded(one, dtype)
    wide, narrow = (Guard(m, one.processor, one.vectors, context="never") for m in (one.model, model))
    found = list(zip(wide.assess_batch(three()), narrow.assess_batch(three()), strict=True))
    assert max(abs(a.risk - b.risk) for a, b in found) < MOVES[dtype]
    assert len({round(a.risk, 2) for a, _ in found}) > 1
    lists = {"unsafe": ["w1 w2", "w3 w4"], "safe": ["w20 w9", "w21 w9"]}
    made = calibrate(model, one.processor, **lists, prompts=PROMPTS, max_new_tokens=STEPS)
    assert made.calibration["dtype"] == str(dtype).removeprefix("torch.")
    assert made.prototypes.dtype == made.prototype_mixture.dtype == torch.float32
    own = Guard(model, one.processor, made.to(dtype=dtype), context="never").assess_batch(three())
    for a, b in zip(own, Guard(model, one.processor, made, context="never").assess_batch(three()), strict=True):
        assert a.risk == pytest.approx(b.risk, abs=MOVES[dtype])


def test_the_norm_and_the_head_may_be_wider_than_the_rest(one: Tiny) -> None:
    """Gemma's norm gives what it was given whatever its own type; the others' give the wider one, for such a head."""
    model = rounded(one, torch.bfloat16)
    parts = Guard(model, one.processor, one.vectors).parts
    parts.final_norm.float()
    if one.name != "gemma3":
        parts.head.float()
    state, logits = (Guard(model, one.processor, one.vectors, carrier=carrier) for carrier in ("state", "logits"))
    plain = run(state)
    with state.steering(RISKS):
        steered = run(state)
    mixed = run(logits, logits_processor=logits.logits_processor(RISKS), output_scores=True)
    allowed = FEW * torch.finfo(parts.head.weight.dtype).eps
    assert apart(steered, mixed) < max(allowed, 1e-5)
    assert apart(steered, plain) > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, *TYPES], ids=["f32", "bf16", "f16"])
def test_logits_that_are_no_numbers_are_risk_1_in_every_type(dtype: torch.dtype) -> None:
    one = Tiny("llava", "left")
    model = rounded(one, dtype)
    guard = Guard(model, one.processor, one.vectors)
    assert all(found.risk < 1 for found in guard.assess_batch(three()))
    torch.nn.init.constant_(model.lm_head.weight[7], float("nan"))
    assert [found.risk for found in guard.assess_batch(three())] == [1.0, 1.0, 1.0]
