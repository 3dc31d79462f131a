"""Where a module computes and in which type, whatever its parameters say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from models import tiny
from models.test_families import Tiny, run
from torch import nn

from ras_ext import models
from ras_ext.base_model import quantization_of
from ras_ext.calibration.prototypes import mix
from ras_ext.errors import ModelError
from ras_ext.models.placement import device_of, dtype_of


class Packed(nn.Module):
    """A head of whole numbers with a scale for each row, as quantisers keep one."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.out_features = head.out_features
        scale = head.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((head.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states @ (self.weight.to(states.dtype) * self.scale.to(states.dtype)).T


def placed(module: nn.Module, *places: Any) -> nn.Module:
    """As accelerate leaves a module: its weights away, a hook that knows where they are to come."""
    hooks = [SimpleNamespace(execution_device=place) for place in places]
    module.to("meta")._hf_hook = hooks[0] if len(hooks) == 1 else SimpleNamespace(hooks=hooks)  # type: ignore[assignment]
    return module


def test_the_hook_of_an_offloaded_module_says_where_it_runs() -> None:
    assert device_of(nn.Linear(2, 2)) == torch.device("cpu")
    assert device_of(placed(nn.Linear(2, 2), "cuda:1")) == torch.device("cuda:1")
    assert device_of(placed(nn.Linear(2, 2), None, "cuda:1")) == torch.device("cuda:1")
    assert device_of(nn.Linear(2, 2).to("meta")) == torch.device("meta")


def test_a_model_runs_where_its_first_weights_that_are_anywhere_are() -> None:
    away, here = nn.Linear(2, 2).to("meta"), nn.Linear(2, 2)
    assert device_of(nn.Sequential(away, here)) == torch.device("cpu")
    assert device_of(nn.Sequential(placed(nn.Linear(2, 2), "cuda:0"), nn.Linear(2, 2).to("meta"))).type == "cuda"


def test_a_type_is_one_that_states_can_have() -> None:
    assert dtype_of(nn.Linear(2, 2).bfloat16()) == torch.bfloat16
    assert dtype_of(Packed(nn.Linear(2, 2))) is None
    eighth = nn.Linear(2, 2, bias=False)
    eighth.weight = nn.Parameter(eighth.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    assert dtype_of(eighth) is None
    assert dtype_of(nn.Identity()) is None


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (None, None),
        ({"quant_method": "gptq", "bits": 4}, "gptq:4"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes:nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True, "bnb_4bit_quant_type": "fp4"}, "bitsandbytes:int8"),
    ],
)
def test_a_quantisation_has_a_name(config: Any, name: str | None) -> None:
    assert quantization_of(SimpleNamespace(config=SimpleNamespace(quantization_config=config))) == name


def test_states_are_not_cut_to_the_whole_numbers_of_a_packed_head() -> None:
    """Cast to the type of its weights, as a head of plain ones wants it, they would lose all behind the point."""
    one = Tiny("llava", "left")
    one.model.lm_head = Packed(one.model.lm_head)
    guard = one.guard("logits")
    assert guard.parts.vocab_size == one.vectors.base_model.vocab_size
    states = one.vectors.prototypes
    expected = one.model.lm_head(states)
    torch.testing.assert_close(guard.parts.logits(states), expected)
    cut = one.model.lm_head(states.to(torch.int8).float())
    assert not torch.allclose(cut, expected, atol=0.1)
    risks = [1.0, 0.5, 0.25]
    with one.guard("state").steering(risks):
        steered = run(one.guard("state"))
    mixed = run(guard, logits_processor=guard.logits_processor(risks), output_scores=True)
    for a, b in zip(steered.logits, mixed.scores, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_quantised_model_that_does_not_run_is_one_sentence() -> None:
    model, _ = tiny.build("llava")
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    assert models.read(model).linear_head
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach()[:, :40].clone())
    with pytest.raises(ModelError, match=r"cannot be guarded with gptq:4 weights: a pass .* fails"):
        models.read(model)


def test_states_follow_the_head_to_its_device() -> None:
    """The norm here, the head elsewhere: on the one other device that every machine has."""
    known = models.read(tiny.build("llava")[0])
    parts = replace(known, head=nn.Linear(48, 16).to("meta"))
    states = torch.ones(2, 3, 48, device=parts.device)
    assert (states.device.type, parts.logits(states).device.type) == ("cpu", "meta")
    assert mix(parts, states, 0.9).device.type == "meta"
    assert mix(known, states, 0.9).device.type == "cpu"
