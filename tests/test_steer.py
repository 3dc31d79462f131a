"""The dose and its two carriers, on a model nobody trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ras_ext import Schedule, SteeringVectors, models
from ras_ext.base_model import describe_model
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError
from ras_ext.generation import GREEDY, encode
from ras_ext.guard import Guard

STEPS = 5


@pytest.fixture(scope="module")
def guard(stranger_folder: Path) -> Guard:
    """A guard over the stranger with prototypes of the size its states have, and uneven doses."""
    model, processor = models.load(stranger_folder)
    generator = torch.Generator().manual_seed(1)
    vectors = SteeringVectors(
        name="stranger",
        base_model=describe_model(model, processor, final_norm="model.language_model.norm"),
        prototypes=torch.randn(STEPS, 40, generator=generator) * 3,
        prototype_mixture=torch.rand(86, generator=generator),
        gamma=0.3,
        alpha=12.0,
        s_base=0.5,
        schedules={"paper": Schedule.paper(), "fading": Schedule.decaying(STEPS, hold=2, decay=0.5)},
        schedule="fading",
    )
    return Guard(model, processor, vectors)


@pytest.fixture
def requests(picture: Image.Image) -> list[Request]:
    return [
        Request.of(picture, "w1 w2 w3"),
        Request.of(None, "w4 w5 w6 w7 w8 w9"),
        Request.of(picture, "w9", history=[("w3", "w5")]),
    ]


def run(guard: Guard, requests: list[Request], **settings: Any) -> Any:
    """Greedy generation with everything generate can return about it; the random model never ends by itself."""
    inputs = encode(guard.model, guard.processor, requests)
    settings = {**GREEDY, "max_new_tokens": STEPS + 2, "min_new_tokens": STEPS + 2, **settings}
    with torch.inference_mode():
        return guard.model.generate(
            **inputs, output_logits=True, output_scores=True, return_dict_in_generate=True, **settings
        )


def test_both_carriers_give_the_same_logits_at_every_step(guard: Guard, requests: list[Request]) -> None:
    risk = [0.9, 0.35, 1.0]
    with guard.steering(risk):
        state = run(guard, requests)
    mixed = run(guard, requests, logits_processor=guard.logits_processor(risk))
    assert torch.equal(state.sequences, mixed.sequences)
    for step, (a, b) in enumerate(zip(state.scores, mixed.scores, strict=True)):
        kept = torch.isfinite(a)
        torch.testing.assert_close(a[kept], b[kept], rtol=1e-5, atol=1e-5, msg=f"step {step}")


def test_the_carriers_disagree_when_one_of_them_is_given_another_risk(guard: Guard, requests: list[Request]) -> None:
    with guard.steering([0.9, 0.35, 1.0]):
        state = run(guard, requests)
    mixed = run(guard, requests, logits_processor=guard.logits_processor([0.9, 0.36, 1.0]))
    assert not torch.allclose(state.scores[0][1], mixed.scores[0][1], rtol=1e-5, atol=1e-5)


def test_no_risk_leaves_every_bit_of_the_output(guard: Guard, requests: list[Request]) -> None:
    plain = run(guard, requests)
    with guard.steering([0.0, 0.0, 0.0]):
        steered = run(guard, requests)
    mixed = run(guard, requests, logits_processor=guard.logits_processor([0.0, 0.0, 0.0]))
    for other in (steered, mixed):
        assert torch.equal(plain.sequences, other.sequences)
        assert all(torch.equal(a, b) for a, b in zip(plain.scores, other.scores, strict=True))


def test_a_row_without_risk_is_untouched_beside_one_with_full_risk(guard: Guard, requests: list[Request]) -> None:
    plain = run(guard, requests)
    with guard.steering([1.0, 0.0, 1.0]):
        steered = run(guard, requests)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(plain.logits, steered.logits, strict=True))
    assert not torch.equal(plain.logits[0][0], steered.logits[0][0])


def test_the_dose_is_the_formula(guard: Guard, requests: list[Request]) -> None:
    """The first step: same prompt, so the steered logits follow from the plain ones."""
    plain, risk = run(guard, requests), torch.tensor([0.25, 0.5, 0.75])
    with guard.steering(risk):
        steered = run(guard, requests)
    head = guard.parts.logits(guard.vectors.prototypes[0])
    wanted = plain.logits[0] + risk[:, None] * (head - plain.logits[0])
    torch.testing.assert_close(steered.logits[0], wanted, rtol=1e-4, atol=1e-4)


def test_steering_ends_with_the_schedule(guard: Guard, requests: list[Request]) -> None:
    """At full risk the first steps are the prototypes', whatever the prompt; after the schedule the rows differ."""
    held = Guard(guard.model, guard.processor, guard.vectors, schedule=Schedule(STEPS, (1.0,) * STEPS))
    with held.steering([1.0, 1.0, 1.0]):
        steered = run(held, requests)
    for step in range(STEPS):
        assert torch.allclose(steered.logits[step][0], steered.logits[step][1], atol=1e-5)
    assert not torch.allclose(steered.logits[STEPS][0], steered.logits[STEPS][1], atol=1e-3)


def test_a_broken_risk_is_a_full_dose(guard: Guard, requests: list[Request]) -> None:
    with guard.steering([1.0, 1.0, 1.0]):
        full = run(guard, requests)
    with guard.steering([float("nan"), 1.0, 1.0]):
        broken = run(guard, requests)
    assert torch.equal(full.logits[0], broken.logits[0])


def test_one_context_serves_one_generate_after_another(guard: Guard, requests: list[Request]) -> None:
    with guard.steering([1.0, 0.5, 0.2]):
        first, second = run(guard, requests), run(guard, requests)
    assert torch.equal(first.sequences, second.sequences)
    assert all(torch.equal(a, b) for a, b in zip(first.logits, second.logits, strict=True))


def test_without_a_cache_the_same_steps_are_steered(guard: Guard, requests: list[Request]) -> None:
    with guard.steering([1.0, 0.5, 0.2]):
        cached = run(guard, requests)
    with guard.steering([1.0, 0.5, 0.2]):
        uncached = run(guard, requests, use_cache=False)
    for a, b in zip(cached.logits, uncached.logits, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_beams_share_the_risk_of_their_request(guard: Guard, requests: list[Request]) -> None:
    held = Guard(guard.model, guard.processor, guard.vectors, schedule=Schedule.paper())
    with held.steering([1.0, 0.0, 1.0]):
        beams = run(held, requests, num_beams=2)
    plain = run(held, requests, num_beams=2)
    assert torch.equal(beams.sequences[1], plain.sequences[1])
    assert not torch.equal(beams.sequences[0], plain.sequences[0])


def test_a_batch_that_does_not_fit_the_risks_is_refused(guard: Guard, requests: list[Request]) -> None:
    with pytest.raises(InputError, match="set for 2 requests and the model runs 3 rows"), guard.steering([1.0, 1.0]):
        run(guard, requests)


def test_a_context_in_which_nothing_ran_is_an_error(guard: Guard) -> None:
    with pytest.raises(ModelError, match="nothing was steered"), guard.steering(1.0):
        pass


def test_nothing_is_left_behind_after_the_context(guard: Guard, requests: list[Request]) -> None:
    plain = run(guard, requests)
    with guard.steering([1.0, 1.0, 1.0]):
        run(guard, requests)
    with pytest.raises(ZeroDivisionError), guard.steering([1.0, 1.0, 1.0]):
        raise ZeroDivisionError
    assert torch.equal(run(guard, requests).sequences, plain.sequences)


@pytest.mark.parametrize("risk", [-0.1, 1.5, float("inf")])
def test_a_risk_outside_of_zero_to_one_is_refused(guard: Guard, risk: float) -> None:
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        guard.steering(risk)


def test_a_head_that_caps_its_logits_cannot_be_mixed(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.model.config.text_config, "final_logit_softcapping", 30.0, raising=False)
    with pytest.raises(ModelError, match="final_logit_softcapping"):
        guard.logits_processor(1.0)
