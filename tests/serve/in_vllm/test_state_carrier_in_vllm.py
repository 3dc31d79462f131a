"""The dose carried by the states: the same answers as by the logits, and the right ones where a head caps its logits.

The capped model is asked without images: vLLM on a CPU answers those otherwise than transformers, defended or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import capped
import pytest
from served import ENGINE, conversation

from ras_ext.conversation import Request
from ras_ext.guard import Guard
from ras_ext.items import Item

QUESTIONS = [f"w{n} w{7 * n % 100} w{3 * n % 50}" for n in range(60)]


def sampling(tokens: int) -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=tokens)


@pytest.fixture(scope="module")
def conversations(items: list[Item]) -> list[Any]:
    return [conversation(item) for item in items[:120]]


@pytest.fixture(scope="module")
def by_logits(guarded: Any, conversations: list[Any]) -> list[Any]:
    assert guarded.packs.carrier == "logits"
    found: list[Any] = guarded.chat(conversations, sampling(40))
    guarded.close()
    return found


@pytest.fixture(scope="module")
def by_states(by_logits: list[Any], conversations: list[Any]) -> list[Any]:
    from ras_ext.serve import GuardedLLM

    engine = GuardedLLM("builtin:organism", "builtin:organism", carrier="state", **ENGINE)
    assert engine.packs.carrier == "state"
    found = engine.chat(conversations, sampling(40))
    engine.close()
    return found


def test_both_carriers_give_the_same_texts(by_logits: list[Any], by_states: list[Any]) -> None:
    assert [one.text for one in by_states] == [one.text for one in by_logits]
    assert {one.receipt.carrier for one in by_states} == {"state"}
    assert sum(one.refused for one in by_states) > 20


def test_both_carriers_find_the_same_risks(by_logits: list[Any], by_states: list[Any]) -> None:
    pairs = zip(by_states, by_logits, strict=True)
    assert all(left.receipt.risk == pytest.approx(right.receipt.risk, abs=1e-4) for left, right in pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return capped.build(tmp_path_factory.mktemp("capped"))


@pytest.fixture(scope="module")
def guard(folder: Path) -> Guard:
    model, processor = capped.load(folder)
    return Guard(model, processor, capped.vectors(model, processor), carrier="state")


@pytest.fixture(scope="module")
def engine(folder: Path, guard: Guard, by_states: list[Any]) -> Iterator[Any]:
    from ras_ext.serve import GuardedLLM

    found = GuardedLLM(folder, guard.vectors, **{**ENGINE, "limit_mm_per_prompt": {"image": 0}})
    yield found
    found.close()


def test_a_head_that_caps_its_logits_is_steered_by_states(engine: Any) -> None:
    assert engine.packs.carrier == "state"


def test_a_capped_model_answers_as_under_the_guard(engine: Any, guard: Guard) -> None:
    ours = engine.chat([[{"role": "user", "content": text}] for text in QUESTIONS], sampling(16))
    theirs = guard.generate_batch([Request.of(None, text) for text in QUESTIONS], max_new_tokens=16)
    assert [one.receipt.risk for one in ours] == pytest.approx([one.risk for one in theirs], abs=1e-4)
    assert [one.text for one in ours] == [one.text for one in theirs]
    alone = engine.chat([[{"role": "user", "content": text}] for text in QUESTIONS], sampling(16), risk=[0.0] * 60)
    assert sum(left.text != right.text for left, right in zip(ours, alone, strict=True)) > 30


def test_logits_are_refused_as_the_carrier_there(engine: Any) -> None:
    from ras_ext.errors import ModelError

    with pytest.raises(ModelError, match="the model's head caps its logits, where mixing them is not exact"):
        engine._load(list(engine.packs.held.values()), "logits")
