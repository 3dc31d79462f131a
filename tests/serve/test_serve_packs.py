"""The packs of an engine: how they are named, what the workers must say, and which model they belong to."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ras_ext
from ras_ext.errors import InputError, ModelError, PackError, PackMismatchError
from ras_ext.serve import frontend, packs
from ras_ext.serve.engine.order import Order
from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.table import Table
from ras_ext.serve.engine.told import LOST, STEP, tell, tokens_needed
from ras_ext.serve.packs import Held, Packs


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "_held", set())


@pytest.fixture
def two(organism: Any) -> Packs:
    """The organism's pack under two names, with two schedules."""
    vectors = organism.vectors
    given = [Held("a", vectors.with_schedule("paper")), Held("b", replace(vectors, name="b").with_schedule("auto"))]
    return Packs.of(given, (2,), "auto")


def status(of: Packs, **changed: Any) -> dict[str, Any]:
    """What a worker with the organism's head says of these packs."""
    table = Table(torch.device("cpu"))
    head = torch.zeros(len(of.default.vectors.prototype_mixture), of.default.vectors.prototypes.shape[1])
    for blob in of.blobs():
        table.add(blob, lambda states: states @ head.T, torch.float32, "logits")
    found = {
        "ras_ext": ras_ext.__version__,
        "runner": "V1",
        "samples": True,
        "carrier": "logits",
        "vocab_size": table.vocab_size,
        "packs": dict(table.digests),
        "steered_tokens": dict(table.steered_tokens),
    }
    return {**found, **changed}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("acme/llava-ras", ("acme/llava-ras", None)),
        ("acme/llava-ras@v2", ("acme/llava-ras", "v2")),
        ("builtin:organism", ("builtin:organism", None)),
        ("file:///r@team/pack@v1", ("file:///r@team/pack", "v1")),
    ],
)
def test_a_revision_stands_behind_the_last_at(text: str, wanted: tuple[str, str | None]) -> None:
    assert packs.parse(text) == wanted


@pytest.mark.parametrize("text", ["@v1", "acme/llava-ras@", "@"])
def test_half_a_name_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no pack; give NAME or NAME@REVISION"):
        packs.parse(text)


def test_a_folder_whose_name_holds_an_at_is_itself(organism: Any, tmp_path: Path) -> None:
    folder = organism.vectors.save(tmp_path / "mine@home")
    held = packs.load(str(folder), schedule="paper")
    assert (held.name, held.revision, held.vectors.schedule) == (str(folder), None, "paper")
    assert held.key == f"{organism.vectors.id}/paper"


def test_a_damaged_folder_is_refused(organism: Any, tmp_path: Path) -> None:
    folder = organism.vectors.save(tmp_path / "pack")
    tensors = next(folder.glob("*.safetensors"))
    data = bytearray(tensors.read_bytes())
    data[-3] ^= 1
    tensors.write_bytes(bytes(data))
    with pytest.raises(PackError):
        packs.load(str(folder))


def test_a_schedule_that_the_pack_lacks_is_refused() -> None:
    with pytest.raises(PackError, match="there is no schedule 'longer'"):
        packs.load("builtin:organism", schedule="longer")


def test_no_pack_two_of_a_name_and_an_unknown_carrier_are_refused(organism: Any) -> None:
    one = Held("a", organism.vectors)
    with pytest.raises(InputError, match="needs at least one pack"):
        Packs.of([], (2,), "auto")
    with pytest.raises(InputError, match="the pack 'a' is named twice"):
        Packs.of([one, Held("b", organism.vectors), one], (2,), "auto")
    with pytest.raises(InputError, match="carrier must be one of auto, logits, state, got 'both'"):
        Packs.of([one], (2,), "both")


def test_an_unknown_pack_is_refused_with_those_that_are_there(two: Packs) -> None:
    assert two.get(None) is two.default is two.get("a")
    with pytest.raises(InputError, match="there is no pack 'c' here; there are a, b"):
        two.get("c")


def test_workers_that_agree_are_believed(two: Packs) -> None:
    blobs = two.blobs()
    headless = status(two, samples=False, carrier="logits", vocab_size=0, steered_tokens={})
    two.agreed([headless, status(two)], blobs)
    assert (two.carrier, two.runner, two.vocab_size) == ("logits", "V1", len(two.default.vectors.prototype_mixture))
    assert set(frontend.held()) == {one.key for one in two.held.values()} == set(two.steered_tokens)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ras_ext": "0.0.1"}, "a worker runs ras_ext 0.0.1, the server"),
        ({"packs": {}}, "a worker does not hold the pack"),
        ({"carrier": "state"}, "the workers disagree on their carrier"),
        ({"runner": "V2"}, "the workers disagree on their runner"),
        ({"vocab_size": 12}, "the workers disagree on their vocab size"),
    ],
)
def test_workers_that_disagree_hold_nothing(two: Packs, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        two.agreed([status(two), status(two, **changed)], two.blobs())
    assert frontend.held() == ()


def test_a_worker_with_other_bytes_is_refused(two: Packs) -> None:
    other = status(two)
    other["packs"] = dict.fromkeys(other["packs"], "0" * 64)
    with pytest.raises(ModelError, match=f"does not hold the pack {two.default.key} as it was sent"):
        two.agreed([other], two.blobs())


def test_an_engine_without_workers_or_without_a_head_is_refused(two: Packs) -> None:
    with pytest.raises(ModelError, match="no worker of the engine answered"):
        two.agreed([], two.blobs())
    with pytest.raises(ModelError, match="no worker of the engine has the model's head"):
        two.agreed([status(two, samples=False)], two.blobs())


def test_parameters_ask_for_what_the_pack_says(two: Packs) -> None:
    two.agreed([status(two)], two.blobs())
    held = two.default
    judging = two.judging(held)
    assert judging["max_tokens"] == held.vectors.n_score - 1 + tokens_needed(two.vocab_size)
    assert Order.of(judging["extra_args"]) == Order("judge", held.key)
    assert two.looking(held)["max_tokens"] == held.vectors.prompts.max_context_tokens
    assert Order.of(two.steering(held, 0.5, 1.5)) == Order("steer", held.key, 0.75)
    assert Order.of(two.steering(held, 0.5, 9.0)) == Order("steer", held.key, 1.0)


def test_what_a_worker_told_is_heard(two: Packs) -> None:
    two.agreed([status(two)], two.blobs())
    before = [7] * (two.default.vectors.n_score - 1)
    digits = tell(torch.tensor([0.8125]), two.vocab_size)[0].tolist()
    assert two.heard(two.default, [*before, *digits]) == pytest.approx(0.8125, abs=STEP)
    with pytest.raises(InputError, match="leaves no room to be judged in"):
        two.heard(two.default, [*before, *digits[:-1]])
    with pytest.raises(ModelError, match="the engine's processor did not write it"):
        two.heard(two.default, [*before, *digits[:-1], two.vocab_size - 1])


@pytest.mark.parametrize("similarity", [0.0, 1e-30, 0.25, 0.9375, 1.0])
@pytest.mark.parametrize("vocab_size", [2, 3, 311, 32_000, 151_936])
def test_a_request_that_was_begun_anew_while_it_told_is_scored_again(
    two: Packs, similarity: float, vocab_size: int
) -> None:
    """The last tokens of LOST behind the first ones of a similarity are no similarity."""
    two.vocab_size = vocab_size
    before = [0] * (two.default.vectors.n_score - 1)
    digits = tell(torch.tensor([similarity]), vocab_size)[0].tolist()
    lost = tell(torch.tensor([LOST]), vocab_size)[0].tolist()
    for kept in range(len(digits)):
        assert two.heard(two.default, [*before, *digits[:kept], *lost[kept:]]) is None
    assert two.heard(two.default, [*before, *digits]) == pytest.approx(similarity, abs=STEP)


def test_a_similarity_that_is_no_number_is_a_risk_of_one(two: Packs) -> None:
    two.vocab_size = 311
    held = two.default
    for nan in (float("nan"), -float("nan")):
        told = tell(torch.tensor([nan]), 311)[0].tolist()
        similarity = two.heard(held, [*[0] * (held.vectors.n_score - 1), *told])
        assert similarity is not None
        assert math.isnan(similarity)
        assert held.risk(similarity) == 1.0
        assert held.dose(1.0, 1.0) == held.vectors.doses


def test_packs_are_sent_with_the_tokens_that_end_an_answer(two: Packs) -> None:
    came = Packed.from_bytes(two.blobs()[0])
    assert came.key == two.default.key
    assert came.ends == (2,)
    assert torch.equal(came.prototypes, two.default.vectors.prototypes[: len(came.doses)].float())


def test_a_pack_of_another_model_is_refused_with_what_differs(organism: Any) -> None:
    held = Held("a", organism.vectors)
    config, template = organism.model.config.to_dict(), organism.processor.chat_template
    packs.check_fits(held, config, template)
    other = {**config, "text_config": {**config["text_config"], "vocab_size": 400}}
    with pytest.raises(PackMismatchError, match="vocab_size") as refused:
        packs.check_fits(held, other, template)
    assert "vocab_size" in refused.value.fields
    with pytest.raises(PackMismatchError, match="chat_template"):
        packs.check_fits(held, config, template + " ")
