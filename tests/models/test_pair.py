"""A tokenizer and an image processor in place of a processor: the prompts are those of the family's own one."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from models import tiny
from models.test_families import picture, three

from ras_ext import models
from ras_ext.conversation import Request
from ras_ext.errors import ModelError
from ras_ext.generation import encode

OWN = {
    "llava_onevision": "llava_onevision.processing_llava_onevision:LlavaOnevisionProcessor",
    "qwen2_vl": "qwen2_vl.processing_qwen2_vl:Qwen2VLProcessor",
    "qwen2_5_vl": "qwen2_5_vl.processing_qwen2_5_vl:Qwen2_5_VLProcessor",
    "qwen3_vl": "qwen3_vl.processing_qwen3_vl:Qwen3VLProcessor",
    "internvl": "internvl.processing_internvl:InternVLProcessor",
    "smolvlm": "smolvlm.processing_smolvlm:SmolVLMProcessor",
}
PAIRED = [family.name for family in models.FAMILIES if family.pairing]
SHAPES = [(60, 48), (30, 90), (20, 20), (200, 31), (33, 200), (1, 1)]


def own(name: str, pair: models.Pair) -> Any:
    """The family's own processor without its video half: its class on what it reads of itself."""
    module, kind = OWN[name].split(":")
    cls = getattr(importlib.import_module(f"transformers.models.{module}"), kind)
    bare = object.__new__(cls)
    known: dict[str, Any] = {
        "image_token": pair.image_token,
        "image_processor": pair.image_processor,
        "num_image_tokens": 4,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": "anyres_max_9",
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "image_seq_length": 1,
        "image_seq_len": 1,
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
    }
    bare.__dict__.update(known)
    return bare


@pytest.mark.parametrize("name", OWN)
def test_an_image_takes_the_tokens_that_the_familys_own_processor_gives_it(name: str) -> None:
    pair = tiny.build(name)[1]
    pictures = [picture(*shape) for shape in SHAPES]
    given: Any = [[one] for one in pictures] if pair.pairing.nested else pictures
    features = dict(pair.image_processor(given, return_tensors="pt", **pair.pairing.options(pair.config)))
    theirs = own(name, pair)
    for index in range(len(pictures)):
        assert pair.pairing.expand(pair, features, index) == theirs.replace_image_token(features, index)


def test_several_images_of_one_request_are_counted_as_the_model_counts_them() -> None:
    pair = tiny.build("llava_onevision")[1]
    features = dict(
        pair.image_processor([[picture(60, 48), picture(30, 90)], [], [picture(20, 20)]], return_tensors="pt")
    )
    theirs = own("llava_onevision", pair)
    ours = [pair.pairing.expand(pair, features, index) for index in range(3)]
    assert ours == [theirs.replace_image_token(features, index) for index in range(3)]
    assert ours[0] == ours[1] != ours[2]


@pytest.mark.parametrize("name", PAIRED)
def test_a_folder_whose_processor_lacks_a_package_is_opened_with_both_halves(name: str, tmp_path: Path) -> None:
    model, pair = tiny.build(name)
    model.save_pretrained(tmp_path)
    pair.tokenizer.save_pretrained(tmp_path)
    pair.image_processor.save_pretrained(tmp_path)
    if name == "pixtral":  # its config says LLaVA; the checkpoint says which processor it wants
        (tmp_path / "processor_config.json").write_text('{"processor_class": "PixtralProcessor"}')
    if importlib.util.find_spec("torchvision"):
        pytest.skip("nothing is lacking: torchvision is installed")
    with pytest.warns(UserWarning, match="pip install torchvision"):
        loaded, processor = models.load(tmp_path)
    assert isinstance(processor, models.Pair)
    mine, theirs = encode(model, pair, three()), encode(loaded, processor, three())
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_two_halves_are_made_one_by_the_models_config() -> None:
    model, pair = tiny.build("qwen3_vl")
    made = models.processor_of(model.config, pair.tokenizer, pair.image_processor, chat_template="{{ 'w1' }}")
    assert (made.image_token, made.chat_template) == ("<|image_pad|>", "{{ 'w1' }}")


def test_a_family_with_a_processor_of_its_own_wants_that() -> None:
    model, processor = tiny.build("llava")
    with pytest.raises(ModelError, match="llava family is served with its own processor"):
        models.processor_of(model.config, processor.tokenizer, processor.image_processor)
    with pytest.raises(ModelError, match="type 'nothing'"):
        models.processor_of(SimpleNamespace(model_type="nothing"), None, None)


def test_the_tokenizer_of_another_model_is_refused() -> None:
    model, pair = tiny.build("qwen2_vl")
    model.config.image_token_id = 10_000
    with pytest.raises(ModelError, match="no token of id 10000"):
        models.processor_of(model.config, pair.tokenizer, pair.image_processor)


def test_a_package_that_is_missing_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def fails(*_: Any, **__: Any) -> None:
        raise ImportError("\nNobodyProcessor requires the Nopackage library but it was not found in your environment.")

    tiny.build("llava")[0].save_pretrained(tmp_path)
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", fails)
    with pytest.raises(ModelError, match=r"requires the Nopackage.*; pip install nopackage$"):
        models.load(tmp_path)


def test_text_alone_needs_no_image() -> None:
    model, pair = tiny.build("smolvlm")
    assert set(encode(model, pair, [Request.of(None, "w1")])) == {"input_ids", "attention_mask"}
