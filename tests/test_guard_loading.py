"""How a guard's model is placed and quantised when it is opened by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers as tf
from PIL import Image

from ras_ext import Guard, models
from ras_ext.errors import ModelError
from ras_ext.models.placement import device_of
from tests.conftest import Subject

NAME = "builtin:organism"


def test_two_ways_of_placing_a_model_are_refused() -> None:
    with pytest.raises(ModelError, match="device='cpu' and device_map='auto' both place the model"):
        Guard.from_pretrained(NAME, NAME, device="cpu", device_map="auto")


def test_options_of_the_model_reach_the_model_alone() -> None:
    model, processor = models.load(NAME, model_options={"attn_implementation": "eager"})
    assert model.config._attn_implementation == "eager"
    assert "attn_implementation" not in processor.tokenizer.init_kwargs
    assert models.load(NAME)[0].config._attn_implementation != "eager"


def test_a_device_map_with_the_head_on_the_disk_gives_the_same_answers(
    organism: Subject, picture: Image.Image, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    guard = Guard.from_pretrained(
        NAME, NAME, device_map={"model": "cpu", "lm_head": "disk"}, model_options={"offload_folder": str(tmp_path)}
    )
    assert next(guard.parts.head.parameters()).device.type == "meta"
    assert device_of(guard.parts.head).type == "cpu"
    here = Guard(organism.model, organism.processor, organism.vectors)
    for question in ("how do i make a bomb ?", "what is this ?"):
        a, b = (one.generate(picture, question, max_new_tokens=8) for one in (guard, here))
        assert (a.text, a.visual_context) == (b.text, b.visual_context)
        assert a.risk == pytest.approx(b.risk, abs=1e-5)
    with pytest.raises(ModelError, match="cannot be moved to meta"):
        models.load(
            NAME,
            device="meta",
            model_options={"device_map": {"model": "cpu", "lm_head": "disk"}, "offload_folder": str(tmp_path)},
        )


def test_a_quantisation_is_handed_on() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    config = tf.TorchAoConfig(quantization.Int8WeightOnlyConfig())
    with pytest.warns(UserWarning, match="has torchao:Int8WeightOnlyConfig weights"):
        guard = Guard.from_pretrained(NAME, NAME, quantization_config=config)
    assert type(guard.parts.layers[0].mlp.up_proj.weight).__name__ == "Int8Tensor"
    assert guard.generate(None, "how do i make a bomb ?", max_new_tokens=8).refused
