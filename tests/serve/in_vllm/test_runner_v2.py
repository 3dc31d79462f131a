"""The processor does the same under the interfaces of both runners of vLLM, and what the method says.

Runner V2 itself has not been run: it needs Triton, and a GPU. Run are its request states, its contexts and its loader
of processors, in a loop that recycles slots, reorders rows at every step, runs prompts in parts and preempts.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from both_runners import Asked, BatchV1, BatchV2, drive, says

from ras_ext import ops
from ras_ext.serve.engine.order import JUDGE, PASS, STEER, Order
from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.told import LOST, STEP, heard, tell, tokens_needed

REQUESTS, ENDS = 60, (2,)


@pytest.fixture(scope="module")
def packs(organism: Any) -> list[Packed]:
    """The organism's pack in two schedules, of which one scores fewer steps."""
    vectors = organism.vectors
    short, long = (Packed.of(vectors.with_schedule(name), ENDS) for name in ("paper", "auto"))
    assert len(short.doses) < len(long.doses)
    return [short, replace(long, n_score=2, gamma=0.6)]


@pytest.fixture(scope="module")
def head(organism: Any) -> torch.Tensor:
    return organism.model.get_output_embeddings().weight.detach().float()


def asked(packs: list[Packed], vocab_size: int, seed: int) -> list[Asked]:
    chance = random.Random(seed)
    found = []
    for name in range(1, REQUESTS + 1):
        pack = chance.choice(packs)
        order = chance.choice(
            [Order(PASS), Order(STEER, pack.key, 0.0), Order(STEER, pack.key, chance.random()), Order(JUDGE, pack.key)]
        )
        wants = chance.randint(1, 20)
        if order.do == JUDGE:
            wants = pack.n_score - 1 + tokens_needed(vocab_size)
        found.append(Asked(name, order, chance.randint(1, 40), wants, chance.randint(0, 80)))
    return found


@pytest.fixture(scope="module", params=range(4))
def outcomes(request: Any, packs: list[Packed], head: torch.Tensor) -> dict[str, list[Asked]]:
    """The same requests through both, each with its own luck."""
    found = {}
    for name, kind in (("V1", BatchV1), ("V2", BatchV2)):
        batch = kind(len(head))
        for pack in packs:
            batch.processor.acting.table.add(pack.to_bytes(), lambda x: x @ head.T, torch.float32, "logits")
        found[name] = asked(packs, len(head), request.param)
        drive(batch, found[name], request.param + 100 * len(found))
        if name == "V2":
            assert len(batch.slots_used) > REQUESTS  # some of them twice
    return found


def wanted(one: Asked, packs: dict[str, Packed], head: torch.Tensor) -> list[int]:
    """Step by step, for one request alone."""
    tokens: list[int] = []
    for step in range(one.wants):
        logits = says(one.name, tuple(tokens), len(head))
        if one.order.do == STEER:
            pack = packs[str(one.order.pack)]
            dose = one.order.dose * pack.doses[step] if step < len(pack.doses) else 0.0
            if dose:
                logits = (1 - dose) * logits + dose * (pack.prototypes[step] @ head.T)
        tokens.append(int(logits.argmax()))
    return tokens


def similarity(one: Asked, pack: Packed, vocab_size: int) -> float:
    """The similarity of one request alone."""
    tokens: list[int] = []
    steps = []
    for _ in range(pack.n_score):
        steps.append(says(one.name, tuple(tokens), vocab_size))
        tokens.append(int(steps[-1].argmax()))
    ended = [token in pack.ends for token in tokens]
    real = ended.index(True) + 1 if any(ended) else pack.n_score
    length = torch.tensor([real], dtype=torch.int32)
    found, _ = ops.risk_score(torch.stack(steps)[None], length, pack.mixture, pack.gamma, pack.alpha, pack.s_base)
    return float(found)


@pytest.mark.parametrize("runner", ["V1", "V2"])
def test_every_answer_is_as_it_would_be_alone(
    runner: str, outcomes: dict[str, list[Asked]], packs: list[Packed], head: torch.Tensor
) -> None:
    by_key = {pack.key: pack for pack in packs}
    answers = [one for one in outcomes[runner] if one.order.do != JUDGE]
    assert any(one.preempted for one in answers)
    assert [one.tokens for one in answers] == [wanted(one, by_key, head) for one in answers]


@pytest.mark.parametrize("runner", ["V1", "V2"])
def test_every_similarity_is_right_or_known_to_be_lost(
    runner: str, outcomes: dict[str, list[Asked]], packs: list[Packed], head: torch.Tensor
) -> None:
    by_key = {pack.key: pack for pack in packs}
    judged = [one for one in outcomes[runner] if one.order.do == JUDGE]
    right = 0
    for one in judged:
        pack = by_key[str(one.order.pack)]
        try:
            found = heard(one.tokens[pack.n_score - 1 :], len(head))
        except ValueError:
            found = LOST  # pieces of two tellings
        if found == LOST:
            assert one.preempted
        else:
            assert found == pytest.approx(similarity(one, pack, len(head)), abs=STEP)
            right += 1
    assert right >= sum(not one.preempted for one in judged) > 0


def test_both_runners_answer_alike(outcomes: dict[str, list[Asked]]) -> None:
    pairs = list(zip(outcomes["V1"], outcomes["V2"], strict=True))
    assert all(left.tokens == right.tokens for left, right in pairs if left.order.do != JUDGE)
    assert all(left.tokens == right.tokens for left, right in pairs if not left.preempted and not right.preempted)


def test_some_similarity_was_lost_in_the_middle_of_being_told(organism: Any, packs: list[Packed], head: Any) -> None:
    """The case that the loop above must have met for its word to count: digits of both kinds in one answer."""
    met = 0
    for seed in range(12):
        batch = BatchV1(len(head))
        for pack in packs:
            batch.processor.acting.table.add(pack.to_bytes(), lambda x: x @ head.T, torch.float32, "logits")
        requests = asked(packs, len(head), seed)
        drive(batch, requests, seed)
        for one in requests:
            if one.order.do == JUDGE:
                n_score = next(pack.n_score for pack in packs if pack.key == one.order.pack)
                told = one.tokens[n_score - 1 :]
                with suppress(ValueError):
                    met += heard(told, len(head)) == LOST and told != tell(torch.tensor([LOST]), len(head))[0].tolist()
    assert met > 0
