"""The organism's body: a LlavaForConditionalGeneration of about 1.3 M parameters, its tokenizer and its processor.

Everything is a stock transformers class, and the saved folder opens with ``AutoProcessor`` and
``AutoModelForImageTextToText``. Weights are written in f16 under the names of published LLaVA checkpoints.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip import CLIPImageProcessor

from ras_ext.organism import language, lessons, world
from ras_ext.organism.draw import PATCH, SIZE

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<user>", "<assistant>")
IMAGE_TOKENS = (SIZE // PATCH) ** 2
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}<assistant>{% else %}<user>{% endif %}"
    "{% if message.content is string %} {{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>{% endfor %}"
    "{% for part in message.content if part.type == 'text' %} {{ part.text }}{% endfor %}{% endif %}"
    "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def vocabulary() -> list[str]:
    """Every word of the world, the special tokens first."""
    rng = random.Random(0)
    words = {word for thing in world.THINGS.values() for word in (thing.name, thing.category)}
    words |= set(world.COLOURS)
    for _ in range(20_000):
        for turn in lessons.lesson(rng).turns:
            words.update(" ".join(turn).split())
    for text in language.SAFETY_PROMPTS + language.CONTEXT_PROMPTS + language.REFUSALS:
        words.update(text.split())
    return [*SPECIAL, *sorted(words)]


def build_processor() -> LlavaProcessor:
    """The word-level tokenizer (lower-cases, splits off marks) and the image processor."""
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary())}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
    image_processor = CLIPImageProcessor(
        size={"height": SIZE, "width": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def build_model(vocab_size: int) -> LlavaForConditionalGeneration:
    """A fresh model: CLIP vision of 3 layers, a Llama of 4, both 128 wide."""
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.pad_token_id = 0
    model.generation_config.bos_token_id = 1
    model.generation_config.eos_token_id = 2
    return model


_PUBLISHED = (  # in-memory name -> name in published LLaVA checkpoints
    (r"^model\.vision_tower\.(?!vision_model\.)", "vision_tower.vision_model."),
    (r"^model\.vision_tower\.", "vision_tower."),
    (r"^model\.multi_modal_projector\.", "multi_modal_projector."),
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
)


def published_name(name: str) -> str:
    """The name a weight has in published LLaVA checkpoints."""
    for pattern, replacement in _PUBLISHED:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Writes the folder that the wheel ships: f16 weights, configs, tokenizer, chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    model.config.architectures = ["LlavaForConditionalGeneration"]
    model.config.dtype = "float32"  # stored in f16 for size, meant to run in f32
    model.config.save_pretrained(folder)
    weights = {published_name(k): v.detach().to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
