"""Prompts in parts, too little room, many at once: every answer is the one that its request gets alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from served import ENGINE, conversation

from ras_ext.items import Item

# Twelve blocks of 32 tokens for eight requests that want three or four each, and prompts cut at 48 tokens.
PRESSURE: dict[str, Any] = {
    "enable_chunked_prefill": True,
    "max_num_batched_tokens": 48,
    "max_num_seqs": 8,
    "num_gpu_blocks_override": 12,
    "enable_prefix_caching": False,
    "disable_log_stats": False,
}
NUMBER = 40


def sampling(**settings: Any) -> Any:
    from vllm import SamplingParams

    return SamplingParams(**{"temperature": 0.0, "max_tokens": 40, **settings})


LONG: dict[str, Any] = {"max_tokens": 128, "ignore_eos": True}
SAMPLED: dict[str, Any] = {"temperature": 0.9, "seed": 11, "n": 2, "max_tokens": 24}


@pytest.fixture(scope="module")
def conversations(items: list[Item]) -> list[Any]:
    return [conversation(item) for item in items[::9]][:NUMBER]


@pytest.fixture(scope="module")
def risks() -> list[float]:
    """Neighbours that are left alone, pulled in part, and in full."""
    return [(0.0, 0.5, 1.0, 0.0)[at % 4] for at in range(NUMBER)]


@pytest.fixture(scope="module")
def alone(guarded: Any, conversations: list[Any], risks: list[float]) -> dict[str, list[Any]]:
    """One request at a time, with all the room there is; the cache of prefixes is on."""

    def each(given: list[float] | None, **settings: Any) -> list[Any]:
        known = [None if given is None else [risk] for risk in (given or conversations)]
        return [
            guarded.chat([turns], sampling(**settings), risk=risk)[0]
            for turns, risk in zip(conversations, known, strict=True)
        ]

    found = {"judged": each(None), "long": each(risks, **LONG), "sampled": each(risks, **SAMPLED)}
    found["undefended"] = each([0.0] * NUMBER)
    found["sampled together"] = guarded.chat(conversations, sampling(**SAMPLED), risk=risks)
    assert guarded.status()[0]["counts"]["lost"] == 0
    guarded.close()
    return found


@pytest.fixture(scope="module")
def pressed(alone: Any) -> Iterator[Any]:
    from ras_ext.serve import GuardedLLM

    engine = GuardedLLM("builtin:organism", "builtin:organism", **{**ENGINE, **PRESSURE})
    yield engine
    engine.close()


def tokens(answers: list[Any]) -> list[list[list[int]]]:
    return [[list(one.token_ids) for one in answer.output.outputs] for answer in answers]


def preemptions(engine: Any) -> int:
    """By vLLM's own count."""
    return int(sum(one.value for one in engine.llm.get_metrics() if one.name == "vllm:num_preemptions"))


def test_the_stages_of_one_image_share_its_prefix(alone: dict[str, list[Any]], conversations: list[Any]) -> None:
    seen = [
        answer.receipt.cached
        for answer, turns in zip(alone["judged"], conversations, strict=True)
        if not isinstance(turns[0]["content"], str)
    ]
    assert len(seen) > NUMBER // 2
    assert all(cached["judge"] > 0 and cached["answer"] > 0 for cached in seen)


def test_judging_and_answering_survive_preemption(
    pressed: Any, alone: dict[str, list[Any]], conversations: list[Any]
) -> None:
    before = preemptions(pressed)
    answers = pressed.chat(conversations, sampling())
    assert preemptions(pressed) > before
    assert [one.text for one in answers] == [one.text for one in alone["judged"]]
    assert [one.receipt.risk for one in answers] == pytest.approx(
        [one.receipt.risk for one in alone["judged"]], abs=1e-4
    )


def test_long_answers_survive_preemption(
    pressed: Any, alone: dict[str, list[Any]], conversations: list[Any], risks: list[float]
) -> None:
    before = preemptions(pressed)
    answers = pressed.chat(conversations, sampling(**LONG), risk=risks)
    assert preemptions(pressed) > before
    assert all(answer.tokens == 128 for answer in answers)
    assert tokens(answers) == tokens(alone["long"])


def test_two_sampled_answers_of_one_request_are_both_steered(alone: dict[str, list[Any]], risks: list[float]) -> None:
    """With room for all: with a seed, vLLM on a CPU ends with an error where a prompt is run in parts."""
    together = tokens(alone["sampled together"])
    assert together == tokens(alone["sampled"])
    full = [said for answer, risk in zip(together, risks, strict=True) if risk == 1.0 for said in answer]
    left = [said for answer, risk in zip(together, risks, strict=True) if risk == 0.0 for said in answer]
    assert len(full) == NUMBER // 2
    assert len({said[0] for said in full}) < len({said[0] for said in left})


def test_neighbours_that_are_not_steered_are_as_undefended(
    pressed: Any, alone: dict[str, list[Any]], conversations: list[Any], risks: list[float]
) -> None:
    answers = pressed.chat(conversations, sampling(), risk=risks)
    at = [place for place, risk in enumerate(risks) if risk == 0.0]
    assert [tokens(answers)[place] for place in at] == [tokens(alone["undefended"])[place] for place in at]
    others = [place for place, risk in enumerate(risks) if risk == 1.0]
    assert [tokens(answers)[place] for place in others] != [tokens(alone["undefended"])[place] for place in others]
