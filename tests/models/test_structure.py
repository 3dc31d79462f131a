"""Models of unknown family: served by what they are made of, or refused with what is missing."""

from __future__ import annotations

import warnings
from functools import wraps
from typing import Any

import pytest
import torch
import transformers as tf
from models import tiny
from models.test_families import PROMPTS, picture
from torch import nn

from ras_ext import Guard, calibrate, models
from ras_ext.conversation import Request
from ras_ext.errors import ModelError
from ras_ext.models import structure
from ras_ext.steer import LogitsCarrier


class Capped(tf.VipLlavaForConditionalGeneration):
    """Its logits are not the head's output as it stands."""

    @wraps(tf.VipLlavaForConditionalGeneration.forward)
    def forward(self, *args: Any, **settings: Any) -> Any:
        output = super().forward(*args, **settings)
        output.logits = 3 * torch.tanh(output.logits / 3)
        return output


class Shifted(tf.VipLlavaForConditionalGeneration):
    """Something else stands between the norm and the head."""

    @wraps(tf.VipLlavaForConditionalGeneration.forward)
    def forward(self, *args: Any, **settings: Any) -> Any:
        output = super().forward(*args, **settings)
        output.logits = output.logits.roll(1, dims=-1)
        return output


def stranger(kind: type = tf.VipLlavaForConditionalGeneration) -> tuple[Any, Any]:
    """A VipLLaVA, which is nobody's family here; it takes LLaVA's processor."""
    processor = tiny.build("llava")[1]
    torch.manual_seed(5)
    words = len(processor.tokenizer)
    config = tf.VipLlavaConfig(
        vision_config=tiny.tower("clip_vision_model", num_hidden_layers=3),
        text_config=tiny.text("llama", words),
        image_token_id=tiny.IMAGE,
        vision_feature_layers=[-1, -2],
    )
    model = kind(config).eval()
    model.generation_config.eos_token_id = tiny.END
    model.generation_config.pad_token_id = tiny.PAD
    return model, processor


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_said", set())


def test_an_unknown_family_is_served_by_structure_and_that_is_said_once() -> None:
    model, _ = stranger()
    with pytest.warns(UserWarning, match=r"type 'vipllava' are of no known family.*'model\.language_model\.norm'"):
        parts = models.read(model)
    assert parts.family.name == "structure:vipllava"
    assert parts.final_norm is model.model.language_model.norm
    assert parts.vision is model.model.vision_tower
    assert len(parts.layers) == parts.n_layers == 2
    assert parts.linear_head
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        models.read(model)


@pytest.mark.filterwarnings("ignore:models of type 'vipllava'")
def test_an_unknown_family_is_calibrated_and_guarded_by_both_carriers() -> None:
    model, processor = stranger()
    vectors = calibrate(
        model, processor, unsafe=["w1 w2", "w3"], safe=["w8", "w9 w7"], prompts=PROMPTS, max_new_tokens=4
    )
    assert vectors.base_model.final_norm == "model.language_model.norm"
    requests = [Request.of(None, "w1"), Request.of(picture(40, 40), "w2 w3")]
    said = [
        Guard(model, processor, vectors, carrier=carrier).generate_batch(requests, max_new_tokens=5)
        for carrier in ("state", "logits")
    ]
    assert [one.text for one in said[0]] == [one.text for one in said[1]]


@pytest.mark.filterwarnings("ignore:models of type 'vipllava'")
def test_a_head_that_is_found_to_cap_leaves_the_state_carrier_only() -> None:
    model, processor = stranger(Capped)
    vectors = calibrate(model, processor, unsafe=["w1 w2"], safe=["w8"], prompts=PROMPTS, max_new_tokens=4)
    guard = Guard(model, processor, vectors)
    assert not guard.parts.linear_head
    assert guard.generate_batch([Request.of(None, "w1")], max_new_tokens=3)
    with pytest.raises(ModelError, match="caps or scales"):
        LogitsCarrier(guard.parts, vectors, torch.tensor([0.5]))


def test_a_norm_that_the_head_does_not_read_is_refused() -> None:
    with pytest.raises(ModelError, match="does not read what its last norm gives"):
        models.read(stranger(Shifted)[0])


def test_two_norms_are_ambiguous() -> None:
    model, _ = stranger()
    model.model.language_model.other = nn.LayerNorm(48)
    with pytest.raises(ModelError, match=r"a final norm in its LlamaModel \(ambiguous: norm, other\)"):
        models.read(model)


def test_everything_that_is_missing_is_named() -> None:
    model, _ = stranger()
    model.model.language_model.norm = nn.Identity()
    model.config.image_token_id = None
    model.lm_head = None
    with pytest.raises(ModelError, match=r"a final norm in its LlamaModel and an image token .* and an LM head"):
        models.read(model)


def test_an_encoder_and_decoder_is_refused() -> None:
    model, _ = stranger()
    model.config.is_encoder_decoder = True
    with pytest.raises(ModelError, match="an encoder and a decoder"):
        models.read(model)
