"""Every family with parts of it on the disk, as accelerate leaves them: parameters on "meta", fetched for each call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from models.test_families import NAMES, Tiny, run, three
from torch import nn
from transformers import AutoModelForImageTextToText

from ras_ext import Guard, calibrate
from ras_ext.generation import encode
from ras_ext.models.placement import device_of

pytestmark = pytest.mark.filterwarnings("ignore:The following device_map keys do not match")
pytest.importorskip("accelerate")
RISKS = [1.0, 0.5, 0.25]
# transformers itself cannot run these with the tower away: it reads weights, or the model's device, past the hooks.
TOWER_HERE = ("idefics3", "mllama")


def spread(model: nn.Module, away: set[str], path: str = "") -> dict[str, str]:
    """A device map with the named modules on the disk and the rest, as whole as can be, on the CPU."""
    found = {f"{path}{name}": "cpu" for name, _ in model.named_parameters(recurse=False)}  # or it stays away
    for name, child in model.named_children():
        place = f"{path}{name}"
        if place in away:
            found[place] = "disk"
        elif any(one.startswith(f"{place}.") for one in away):
            found.update(spread(child, away, f"{place}."))
        else:
            found[place] = "cpu"
    return found


def offloaded(one: Tiny, folder: Path, device_map: Any) -> Any:
    one.model.save_pretrained(folder / "model")
    model = AutoModelForImageTextToText.from_pretrained(
        folder / "model", device_map=device_map, offload_folder=folder / "away"
    )
    model.generation_config = one.model.generation_config
    return model.eval()


def kept_away(one: Tiny) -> set[str]:
    """The last layer, the norm, the head, and the tower: all that the defence touches."""
    parts = one.guard("state").parts
    names = {id(module): name for name, module in one.model.named_modules()}
    tower = [] if one.name in TOWER_HERE else [parts.vision]
    return {names[id(module)] for module in (parts.layers[-1], parts.final_norm, parts.head, *tower)}


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, Any]:
    """A family's model, and the same with what the defence touches on the disk."""
    one = Tiny(request.param, "left")
    away = kept_away(one)
    return one, offloaded(one, tmp_path_factory.mktemp("offloaded"), spread(one.model, away))


def test_what_is_away_runs_where_it_is_brought(pair: tuple[Tiny, Any]) -> None:
    one, model = pair
    parts = Guard(model, one.processor, one.vectors).parts
    for module in (parts.final_norm, parts.head, parts.layers[-1]):
        assert {weight.device.type for weight in module.parameters()} == {"meta"}
        assert device_of(module) == torch.device("cpu")
    assert parts.device == device_of(model) == torch.device("cpu")
    states = one.vectors.prototypes
    torch.testing.assert_close(parts.logits(states), one.guard("state").parts.logits(states))


def test_the_steered_logits_are_those_of_the_model_that_is_all_here(pair: tuple[Tiny, Any]) -> None:
    one, model = pair
    here, away = one.guard("state"), Guard(model, one.processor, one.vectors)
    plain = run(away)
    with here.steering(RISKS):
        expected = run(here)
    with away.steering(RISKS):
        found = run(away)
    for a, b, c in zip(expected.logits, found.logits, plain.logits, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(a, c, atol=1e-2)


def test_it_is_guarded_as_the_model_that_is_all_here(pair: tuple[Tiny, Any]) -> None:
    """By the other carrier, whose prototypes go through the head that is away."""
    one, model = pair
    expected = one.guard("logits").generate_batch(three(), max_new_tokens=4)
    found = Guard(model, one.processor, one.vectors, carrier="logits").generate_batch(three(), max_new_tokens=4)
    for a, b in zip(expected, found, strict=True):
        assert (a.text, a.visual_context, a.image_prefills) == (b.text, b.visual_context, b.image_prefills)
        assert a.risk == pytest.approx(b.risk, abs=1e-4)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3"])
def test_a_model_that_is_all_away_is_calibrated_and_guarded(name: str, tmp_path: Path) -> None:
    one = Tiny(name, "left")
    model = offloaded(one, tmp_path, {"": "disk"})
    assert model.device.type == "meta"
    lists = {"unsafe": ["w1 w2", "w3 w4"], "safe": ["w20 w9", "w21 w9"]}
    settings: dict[str, Any] = {**lists, "prompts": one.vectors.prompts, "max_new_tokens": 3}
    here, away = (calibrate(m, one.processor, **settings) for m in (one.model, model))
    assert (away.calibration["device"], away.calibration["dtype"]) == ("cpu", "float32")
    torch.testing.assert_close(away.prototypes, here.prototypes, rtol=1e-4, atol=1e-4)
    expected = one.guard("state").generate_batch(three(), max_new_tokens=4)
    found = Guard(model, one.processor, one.vectors).generate_batch(three(), max_new_tokens=4)
    assert [a.text for a in found] == [a.text for a in expected]


@pytest.mark.parametrize("name", TOWER_HERE)
def test_where_the_tower_must_be_here_the_plain_model_fails_too(name: str, tmp_path: Path) -> None:
    one = Tiny(name, "left")
    names = {id(module): path for path, module in one.model.named_modules()}
    tower = names[id(one.guard("state").parts.vision)]
    model = offloaded(one, tmp_path, spread(one.model, {tower}))
    inputs = encode(one.model, one.processor, three())
    with torch.inference_mode(), pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        model(**inputs)
