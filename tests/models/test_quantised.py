"""Models with quantised weights, head included: guarded by vectors of the plain model, which says that it is another.

What is compared is the model with itself: both carriers, and its head. How far a score moves with the weights is
measured on the built-in model, whose scores mean something.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from models.carriers import apart
from models.test_families import Tiny, run, three

from ras_ext import Guard, calibrate, models
from ras_ext.base_model import describe_model, quantization_of
from ras_ext.conversation import Request
from ras_ext.errors import ModelError
from ras_ext.evaluation.run import _fingerprint as fingerprint
from ras_ext.generation import answer
from ras_ext.items import Item
from ras_ext.models.placement import dtype_of
from ras_ext.organism import MODEL
from tests.conftest import Subject

pytestmark = [
    pytest.mark.filterwarnings("ignore:the vectors .* were calibrated on weights that are not quantised"),
    pytest.mark.filterwarnings("ignore:MatMul8bitLt"),
]
RISKS = [1.0, 0.5, 0.25]
TOWERS = ["vision_tower", "visual"]


@pytest.fixture(scope="module", autouse=True)
def quantisers() -> None:
    """Where they are promised (make test-quantised) they are there."""
    if os.environ.get("RAS_EXT_REQUIRE_QUANTISERS"):
        assert find_spec("torchao")
        assert find_spec("bitsandbytes")


def torchao(kind: str, head: bool) -> Any:
    quantization = pytest.importorskip("torchao.quantization")
    return tf.TorchAoConfig(getattr(quantization, kind)(), **({"modules_to_not_convert": TOWERS} if head else {}))


def bitsandbytes(bits: int, head: bool) -> Any:
    pytest.importorskip("bitsandbytes")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says of every product what it is cast to
    kept = {"llm_int8_skip_modules": TOWERS} if head else {}
    return tf.BitsAndBytesConfig(
        load_in_8bit=bits == 8,
        load_in_4bit=bits == 4,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        **kept,
    )


# With the largest difference of the carriers' logits, in parts of the largest one: a head that rounds what it is given
# to 8 bits is no linear map, and the carriers meet before and behind that rounding.
WAYS: dict[str, tuple[Callable[[], Any], str, float]] = {
    "int8": (lambda: torchao("Int8WeightOnlyConfig", False), "torchao:Int8WeightOnlyConfig", 0.016),
    "int8-head": (lambda: torchao("Int8WeightOnlyConfig", True), "torchao:Int8WeightOnlyConfig", 0.016),
    "int8-states-head": (
        lambda: torchao("Int8DynamicActivationInt8WeightConfig", True),
        "torchao:Int8DynamicActivationInt8WeightConfig",
        0.03,
    ),
    "bnb8": (lambda: bitsandbytes(8, False), "bitsandbytes:int8", 0.016),
    "bnb8-head": (lambda: bitsandbytes(8, True), "bitsandbytes:int8", 0.03),
}


def quantised(folder: Path, config: Any, dtype: torch.dtype = torch.bfloat16) -> Any:
    return tf.AutoModelForImageTextToText.from_pretrained(folder, quantization_config=config, dtype=dtype).eval()


@pytest.fixture(scope="module", params=["llava", "qwen2_5_vl"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, Path]:
    one = Tiny(request.param, "left")
    folder = tmp_path_factory.mktemp("plain")
    one.model.save_pretrained(folder)
    return one, folder


@pytest.mark.parametrize("way", WAYS)
def test_a_quantised_model_is_guarded_by_both_carriers(plain: tuple[Tiny, Path], way: str) -> None:
    one, folder = plain
    make, name, allowed = WAYS[way]
    model = quantised(folder, make())
    model.generation_config = one.model.generation_config
    assert quantization_of(model) == name
    guard, other = (Guard(model, one.processor, one.vectors, carrier=carrier) for carrier in ("state", "logits"))
    assert guard.parts.vocab_size == one.vectors.base_model.vocab_size
    assert dtype_of(guard.parts.final_norm) == torch.bfloat16
    unsteered = run(guard)
    with guard.steering(RISKS):
        steered = run(guard)
    mixed = run(other, logits_processor=other.logits_processor(RISKS), output_scores=True)
    weaker = run(other, logits_processor=other.logits_processor([0.9, 0.4, 0.15]), output_scores=True)

    assert apart(steered, mixed) < allowed
    assert apart(steered, weaker) > allowed
    assert apart(steered, unsteered) > 10 * allowed
    answers = guard.generate_batch(three(), max_new_tokens=3)
    assert all(0 <= one.risk <= 1 and isfinite(one.similarity) for one in answers)
    if way.startswith("bnb8-head"):
        weight = guard.parts.head.weight
        assert weight.dtype == torch.int8, "the case in which states must not be cast to the type of the weights"


def test_vectors_say_what_they_were_calibrated_on_and_a_model_of_other_weights_is_warned_of(
    plain: tuple[Tiny, Path], recwarn: pytest.WarningsRecorder
) -> None:
    one, folder = plain
    model = quantised(folder, torchao("Int8WeightOnlyConfig", True))
    model.generation_config = one.model.generation_config
    lists = {"unsafe": ["w1 w2", "w3 w4"], "safe": ["w20 w9", "w21 w9"]}
    own = calibrate(model, one.processor, **lists, prompts=one.vectors.prompts, max_new_tokens=3)
    assert own.calibration["quantization"] == "torchao:Int8WeightOnlyConfig"
    assert own.calibration["dtype"] == "bfloat16"
    recwarn.clear()
    Guard(model, one.processor, own)
    Guard(one.model, one.processor, one.vectors)
    assert not [w for w in recwarn if "calibrated" in str(w.message)]
    with pytest.warns(UserWarning, match="weights that are not quantised and this model has torchao:Int8"):
        Guard(model, one.processor, one.vectors)
    with pytest.warns(
        UserWarning, match="torchao:Int8WeightOnlyConfig weights and this model has weights that are not"
    ):
        Guard(one.model, one.processor, own)


def test_what_a_quantiser_cannot_run_is_refused_when_the_guard_is_made(tmp_path: Path) -> None:
    """The CPU kernel of four bits wants rows by the 32; this model's vocabulary of another number is its head's."""
    one = Tiny("llava", "left")
    one.model.save_pretrained(tmp_path)
    model = quantised(tmp_path, bitsandbytes(4, True))
    assert model.lm_head.weight.shape[-1] == 1, "packed: its shape is not that of a head"
    assert describe_model(model, final_norm="x").vocab_size == one.vectors.base_model.vocab_size
    with pytest.raises(ModelError, match="cannot be guarded with bitsandbytes:nf4 weights: a pass over a few tokens"):
        models.read(model)


@pytest.mark.parametrize(
    ("way", "moves"),
    [("int8-head", 0.03), ("bnb4", 0.05)],
)
def test_the_built_in_model_is_defended_with_quantised_weights(
    organism: Subject, evaluation_set: list[Item], way: str, moves: float
) -> None:
    """Over all 360 requests the risk moved by 0.020 and 0.032 at most, and never to the other side of a half."""
    config = bitsandbytes(4, False) if way == "bnb4" else WAYS[way][0]()
    model = quantised(MODEL, config)
    requests: list[Request] = [item.request() for item in evaluation_set[::60]]
    whole, small = (Guard(m, organism.processor, organism.vectors) for m in (organism.model, model))
    expected, found = (guard.generate_batch(requests, max_new_tokens=8) for guard in (whole, small))
    assert max(abs(a.risk - b.risk) for a, b in zip(expected, found, strict=True)) < moves
    assert [a.refused for a in expected] == [b.refused for b in found]
    assert {a.refused for a in expected} == {True, False}
    one = next(index for index, answer in enumerate(found) if answer.refused)
    undefended = answer(model, organism.processor, requests[one : one + 1], max_new_tokens=8)[0]
    assert undefended.text != found[one].text


def test_an_evaluation_tells_quantised_weights_apart(plain: tuple[Tiny, Path], tmp_path: Path) -> None:
    one, folder = plain
    other = copy.deepcopy(one.model)
    other.lm_head.weight.data[0, 0] += 1.0
    other.save_pretrained(tmp_path)
    config = torchao("Int8WeightOnlyConfig", True)
    first, again, changed = (fingerprint(quantised(place, config)) for place in (folder, folder, tmp_path))
    assert first == again
    assert first["weights"] != changed["weights"]
    assert first["weights"] != fingerprint(one.model)["weights"]
