"""The defence in vLLM says what the guard in transformers says: texts, risks, and the rows of an evaluation."""

from __future__ import annotations

from typing import Any

import pytest
from served import conversation

from ras_ext.guard import Guard
from ras_ext.items import Item

TOKENS = 40


@pytest.fixture(scope="module")
def by_guard(organism: Any, items: list[Item]) -> list[Any]:
    guard = Guard(organism.model, organism.processor, organism.vectors)
    batches = [items[start : start + 40] for start in range(0, len(items), 40)]
    return [
        answer
        for batch in batches
        for answer in guard.generate_batch([item.request() for item in batch], max_new_tokens=TOKENS)
    ]


@pytest.fixture(scope="module")
def by_vllm(guarded: Any, items: list[Item]) -> list[Any]:
    from vllm import SamplingParams

    return guarded.chat([conversation(item) for item in items], SamplingParams(temperature=0.0, max_tokens=TOKENS))


def test_texts_are_the_same(by_guard: list[Any], by_vllm: list[Any]) -> None:
    same = [left.text == right.text for left, right in zip(by_guard, by_vllm, strict=True)]
    assert len(same) >= 200
    assert sum(same) >= 0.99 * len(same)
