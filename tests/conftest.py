"""Models the tests run on: the organism, and a stranger of another shape that nobody trained."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when the client is imported; the tests' Hub has plain uploads only

import numpy as np
import pytest
import torch
from PIL import Image

from ras_ext import SteeringVectors, load_vectors, models
from ras_ext.items import Item, load_items
from ras_ext.organism import queries


@dataclass(frozen=True)
class Subject:
    """A model with everything needed to guard it."""

    model: Any
    processor: Any
    vectors: SteeringVectors


@pytest.fixture(scope="session", autouse=True)
def home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Packs that the tests fetch or make are kept apart from those of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("ras_ext_home")
        patch.setenv("RAS_EXT_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def organism() -> Subject:
    """The built-in model with the pack that ships beside it."""
    model, processor = models.load("builtin:organism")
    return Subject(model, processor, load_vectors("builtin:organism", model=model, processor=processor))


@pytest.fixture(scope="session")
def evaluation_set(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """The organism's evaluation set, as the demo writes it."""
    return load_items(queries.write_set("evaluation", tmp_path_factory.mktemp("evaluation")))


def build_stranger(folder: Path, *, tied: bool, padding_side: str, template: bool = True) -> Path:
    """Saves a randomly initialised LLaVA unlike the organism in every size, its words and its padding."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers import models as tokenizer_models
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["[pad]", "[end]", "[unk]", "<image>", "Q:", "A:", *(f"w{n}" for n in range(80))]
    core = Tokenizer(tokenizer_models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[unk]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="[end]",
        pad_token="[pad]",
        unk_token="[unk]",
        additional_special_tokens=["<image>"],
        padding_side=padding_side,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"height": 20, "width": 20}, crop_size={"height": 20, "width": 20}),
        tokenizer,
        patch_size=10,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=(
            "{% for m in messages %}{{ 'Q:' if m.role == 'user' else 'A:' }}"
            "{% for c in m.content %}{{ ' <image> ' if c.type == 'image' else ' ' + c.text }}{% endfor %} {% endfor %}"
            "{% if add_generation_prompt %}A:{% endif %}"
        )
        if template
        else None,
    )
    torch.manual_seed(3)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=20,
            patch_size=10,
        ),
        text_config=LlamaConfig(
            vocab_size=len(words),
            hidden_size=40,
            intermediate_size=56,
            num_hidden_layers=2,
            num_attention_heads=5,
            num_key_value_heads=1,
            eos_token_id=1,
            pad_token_id=0,
            tie_word_embeddings=tied,
            initializer_range=0.4,
        ),
        image_token_id=3,
        tie_word_embeddings=tied,
        vision_feature_layer=-2,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", params=["tied-left", "untied-right"])
def stranger_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model nobody has seen, as a folder."""
    tied, side = request.param.split("-")
    return build_stranger(tmp_path_factory.mktemp("stranger"), tied=tied == "tied", padding_side=side)


@pytest.fixture
def picture() -> Image.Image:
    """Any picture."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8))
