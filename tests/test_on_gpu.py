"""The guard on a GPU: the answers of the CPU, and decoding in captured graphs with the defence on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ras_ext import Guard, SteeringVectors, load_vectors, models
from ras_ext.conversation import Request
from ras_ext.items import Item

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@pytest.fixture(scope="module")
def vectors() -> SteeringVectors:
    return load_vectors("builtin:organism")


def guard_on(device: str, vectors: SteeringVectors, **options: Any) -> Guard:
    model, processor = models.load("builtin:organism", device=device)
    return Guard(model, processor, vectors, **options)


@pytest.fixture
def requests(evaluation_set: list[Item]) -> list[Request]:
    return [item.request() for item in evaluation_set][::30]


@pytest.mark.parametrize("carrier", ["state-cuda", "logits-cuda"])
@pytest.mark.parametrize("cache", [None, "static"])
def test_the_answers_are_those_of_the_cpu(
    vectors: SteeringVectors, requests: list[Request], carrier: str, cache: str | None
) -> None:
    """A cache of fixed size is what makes transformers decode in captured graphs there."""
    settings = {"cache_implementation": cache} if cache else {}
    here = guard_on("cpu", vectors).generate_batch(requests, max_new_tokens=24)
    there = guard_on("cuda", vectors, carrier=carrier.partition("-")[0])
    for _ in range(2):  # captured, then replayed
        answers = there.generate_batch(requests, max_new_tokens=24, **settings)
        assert [one.text for one in answers] == [one.text for one in here]
        assert [one.risk for one in answers] == pytest.approx([one.risk for one in here], abs=1e-3)
    assert any(one.refused for one in answers)


@pytest.mark.parametrize("device", ["cuda"])
def test_another_risk_goes_through_the_same_graph(
    device: str, vectors: SteeringVectors, requests: list[Request]
) -> None:
    guard = guard_on(device, vectors)
    settings: dict[str, Any] = {"max_new_tokens": 24, "cache_implementation": "static"}
    forward = guard.generate_batch(requests, **settings)
    with torch.compiler.set_stance("fail_on_recompile"):
        backward = guard.generate_batch(requests[::-1], **settings)
    assert [one.text for one in backward[::-1]] == [one.text for one in forward]
