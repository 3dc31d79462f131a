"""The words that are named make up the similarity, and are those that decide it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ras_ext.conversation import Request
from ras_ext.explaining import FirstWords, first_words
from ras_ext.explaining.words import compared
from ras_ext.guard import Guard
from ras_ext.items import Item
from ras_ext.risk import score
from tests.conftest import Subject


@pytest.fixture(scope="module")
def guard(organism: Subject) -> Guard:
    return Guard(organism.model, organism.processor, organism.vectors)


def _found(guard: Guard, request: Request) -> tuple[float, FirstWords]:
    risk = guard.assess_batch([request])[0]
    return risk.similarity, first_words(guard, request, risk.visual_context)


def test_the_words_shares_add_up_to_the_similarity_that_was_scored(guard: Guard, evaluation_set: list[Item]) -> None:
    for item in evaluation_set[::45]:
        similarity, found = _found(guard, item.request())
        assert found.similarity == pytest.approx(similarity, abs=1e-5)
        assert sum(word.share for word in found.words) + found.rest == pytest.approx(found.similarity, abs=1e-12)


def test_another_decay_gives_other_shares(guard: Guard, organism: Subject, evaluation_set: list[Item]) -> None:
    """The twin: the shares are those of this very score."""
    item = next(item for item in evaluation_set if item.label == "safe" and item.image)
    logits = torch.randn(3, organism.vectors.prototype_mixture.numel(), generator=torch.Generator().manual_seed(1))
    for gamma in (0.3, 0.9):
        vectors = replace(organism.vectors, gamma=gamma)
        scored = score(logits[None], torch.tensor([3]), vectors)[0].item()
        assert compared(guard.parts, guard.processor, logits, 3, vectors).similarity == pytest.approx(scored, abs=1e-6)
        one = compared(guard.parts, guard.processor, logits, 1, vectors).similarity
        assert one != pytest.approx(scored, abs=1e-3)
    assert item.request().has_image


def test_a_refusal_is_explained_by_the_words_of_refusals(guard: Guard, evaluation_set: list[Item]) -> None:
    item = next(item for item in evaluation_set if item.kind == "picture" and item.label == "unsafe")
    similarity, found = _found(guard, item.request())
    assert similarity > 0.9
    assert [word.text for word in found.words[:3]] == ["i", "am", "sorry"]
    assert [step.asked[0][0] for step in found.steps] == [step.refusing[0][0] for step in found.steps]


def test_a_harmless_request_shows_what_the_model_would_say_instead(guard: Guard, evaluation_set: list[Item]) -> None:
    asked = (item.request() for item in evaluation_set if item.label == "safe" and item.image)
    similarity, found = next(one for one in (_found(guard, request) for request in asked) if one[0] < 0.1)
    assert found.similarity == pytest.approx(similarity, abs=1e-5)
    assert found.steps[0].asked[0][0] != found.steps[0].refusing[0][0]
    assert max(found.words, key=lambda word: word.asked).refusing < 0.01
    assert max(found.words, key=lambda word: word.refusing).asked < 0.01


def test_an_answer_that_has_ended_has_no_further_words(guard: Guard, organism: Subject) -> None:
    logits = torch.zeros(3, organism.vectors.prototype_mixture.numel())
    found = compared(guard.parts, guard.processor, logits, 1, organism.vectors)
    assert found.steps[0].asked
    assert [step.asked for step in found.steps[1:]] == [(), ()]


def test_no_words_at_all_and_logits_that_are_not_finite_say_so(guard: Guard, organism: Subject) -> None:
    size = organism.vectors.prototype_mixture.numel()
    assert compared(guard.parts, guard.processor, torch.zeros(3, size), 0, organism.vectors).similarity == 0.0
    broken = compared(guard.parts, guard.processor, torch.full((3, size), math.nan), 3, organism.vectors)
    assert math.isnan(broken.similarity)


def test_as_many_words_are_named_as_asked_for_and_none_twice(guard: Guard, organism: Subject) -> None:
    logits = torch.randn(3, organism.vectors.prototype_mixture.numel(), generator=torch.Generator().manual_seed(2))
    for most in (1, 4, 9):
        words = compared(guard.parts, guard.processor, logits, 3, organism.vectors, most).words
        assert len(words) == most
        assert len({word.text for word in words}) == most
