"""One tiny model of every family, of random weights, with a processor made on the spot; nothing is fetched.

Where the family's own processor can be made without packages for video, it is the one; else a tokenizer and an image
processor in a :class:`~ras_ext.models.Pair`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as tf
from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from ras_ext.models import FAMILIES, Pair

PAD, END, UNKNOWN, IMAGE = 0, 1, 2, 3
MARKS = {
    "gemma3": ["<start_of_image>", "<end_of_image>"],
    "internvl": ["<img>", "</img>"],
    "pixtral": ["[IMG_BREAK]", "[IMG_END]"],
    "mistral3": ["[IMG_BREAK]", "[IMG_END]"],
    "idefics3": ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"],
    "smolvlm": ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"],
    "mllama": ["<|python_tag|>", "<|begin_of_text|>"],
    **{name: ["<|vision_start|>", "<|vision_end|>"] for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")},
}
IMAGES = {
    "pixtral": "[IMG]",
    "mistral3": "[IMG]",
    "internvl": "<IMG_CONTEXT>",
    "gemma3": "<image_soft_token>",
    "mllama": "<|image|>",
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), "<|image_pad|>"),
}
WORDS = 80


def tokenizer(family: str, padding_side: str) -> Any:
    """Words ``w0``, ``w1``, … and the family's marks, split at spaces."""
    image = IMAGES.get(family, "<image>")
    tiled = "<global-img>" in MARKS.get(family, [])
    places = [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)] if tiled else []
    marks = ["[pad]", "[end]", "[unk]", image, *MARKS.get(family, []), *places]
    words = [*marks, "Q:", "A:", *(f"w{n}" for n in range(WORDS))]
    core = Tokenizer(tokenizer_models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[unk]"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    named: dict[str, str] = {}
    if family == "gemma3":
        named = {"boi_token": MARKS[family][0], "eoi_token": MARKS[family][1], "image_token": image}
    if family == "internvl":
        named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": image}
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|begin_of_text|>" if family == "mllama" else None,
        eos_token="[end]",
        pad_token="[pad]",
        unk_token="[unk]",
        padding_side=padding_side,
        extra_special_tokens=named,
        chat_template=template(family),
    )


def template(family: str) -> str:
    """The same short chat for all: ``Q: <image> w1 w2 A:``; Qwen's images stand between marks, gemma3's are one."""
    image = MARKS[family][0] if family == "gemma3" else IMAGES.get(family, "<image>")
    if family.startswith("qwen"):
        image = image.join(MARKS[family])
    return (
        "{% for m in messages %}{{ 'Q:' if m.role == 'user' else 'A:' }}"
        "{% for c in m.content %}{{ ' "
        + image
        + " ' if c.type == 'image' else ' ' + c.text }}{% endfor %} {% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}"
    )


def text(kind: str, vocabulary: int, **settings: Any) -> dict[str, Any]:
    """A decoder of two layers."""
    return {
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": 48,
        "intermediate_size": 56,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "eos_token_id": END,
        "bos_token_id": END,
        "pad_token_id": PAD,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "initializer_range": 0.4,
        **settings,
    }


def tower(kind: str, **settings: Any) -> dict[str, Any]:
    """A vision tower of two layers over images of 20 pixels in patches of 10."""
    return {
        "model_type": kind,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 20,
        "patch_size": 10,
        **settings,
    }


SQUARE = {"height": 20, "width": 20}
GRID = [[20, 40], [40, 20], [40, 40]]
QWEN_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2]}


def llava(words: int) -> tuple[Any, Any]:
    config = tf.LlavaConfig(
        vision_config=tower("clip_vision_model"), text_config=text("llama", words), image_token_id=IMAGE
    )
    return tf.LlavaForConditionalGeneration(config), lambda core: tf.LlavaProcessor(
        tf.CLIPImageProcessor(size=SQUARE, crop_size=SQUARE),
        core,
        patch_size=10,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_next(words: int) -> tuple[Any, Any]:
    config = tf.LlavaNextConfig(
        vision_config=tower("clip_vision_model"),
        text_config=text("mistral", words),
        image_token_id=IMAGE,
        image_grid_pinpoints=GRID,
    )
    return tf.LlavaNextForConditionalGeneration(config), lambda core: tf.LlavaNextProcessor(
        LlavaNextImageProcessorPil(size={"shortest_edge": 20}, crop_size=SQUARE, image_grid_pinpoints=GRID),
        core,
        patch_size=10,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_onevision(words: int) -> tuple[Any, Any]:
    config = tf.LlavaOnevisionConfig(
        vision_config=tower("siglip_vision_model", vision_use_head=False),
        text_config=text("qwen2", words),
        image_token_id=IMAGE,
        video_token_id=words - 1,
        image_grid_pinpoints=GRID,
    )
    return tf.LlavaOnevisionForConditionalGeneration(config), LlavaOnevisionImageProcessorPil(
        size=SQUARE, image_grid_pinpoints=GRID
    )


def _qwen(config: Any, model: Any, words: int, *, patch: int = 14, rope: Any = None, **vision: Any) -> tuple[Any, Any]:
    text_config = text("", words, rope_parameters={**QWEN_ROPE, **(rope or {})})
    del text_config["model_type"]
    made = config(
        vision_config={
            "depth": 2,
            "num_heads": 2,
            "patch_size": patch,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            **vision,
        },
        text_config=text_config,
        image_token_id=IMAGE,
        video_token_id=words - 1,
        vision_start_token_id=IMAGE + 1,
        vision_end_token_id=IMAGE + 2,
        tie_word_embeddings=False,
    )
    side = (2 * patch) ** 2
    processor = Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": side, "longest_edge": 6 * side})
    return model(made), processor


def qwen2_vl(words: int) -> tuple[Any, Any]:
    return _qwen(tf.Qwen2VLConfig, tf.Qwen2VLForConditionalGeneration, words, embed_dim=24, hidden_size=48, mlp_ratio=2)


def qwen2_5_vl(words: int) -> tuple[Any, Any]:
    return _qwen(
        tf.Qwen2_5_VLConfig,
        tf.Qwen2_5_VLForConditionalGeneration,
        words,
        hidden_size=24,
        intermediate_size=32,
        out_hidden_size=48,
        window_size=56,
        fullatt_block_indexes=[1],
    )


def qwen3_vl(words: int) -> tuple[Any, Any]:
    return _qwen(
        tf.Qwen3VLConfig,
        tf.Qwen3VLForConditionalGeneration,
        words,
        patch=16,
        rope={"mrope_interleaved": True},
        hidden_size=24,
        intermediate_size=32,
        out_hidden_size=48,
        num_position_embeddings=16,
        deepstack_visual_indexes=[0],
    )


def internvl(words: int) -> tuple[Any, Any]:
    vision = tower("internvl_vision", image_size=[20, 20], patch_size=[10, 10])
    config = tf.InternVLConfig(
        vision_config=vision,
        text_config=text("qwen2", words),
        image_token_id=IMAGE,
        image_seq_length=1,
        tie_word_embeddings=False,
    )
    return tf.InternVLForConditionalGeneration(config), GotOcr2ImageProcessorPil(size=SQUARE, max_patches=4)


def gemma3(words: int) -> tuple[Any, Any]:
    config = tf.Gemma3Config(
        vision_config=tower("siglip_vision_model", image_size=40, vision_use_head=False),
        text_config=text("gemma3_text", words, sliding_window=8, query_pre_attn_scalar=12),
        mm_tokens_per_image=4,
        image_token_id=IMAGE,
        boi_token_index=4,
        eoi_token_index=5,
        tie_word_embeddings=False,
        initializer_range=0.4,
    )
    return tf.Gemma3ForConditionalGeneration(config), lambda core: tf.Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 40, "width": 40}), core, image_seq_length=4
    )


def idefics3(words: int) -> tuple[Any, Any]:
    config = tf.Idefics3Config(
        vision_config=tower("idefics3_vision"), text_config=text("llama", words), image_token_id=IMAGE, scale_factor=2
    )
    return tf.Idefics3ForConditionalGeneration(config), lambda core: tf.Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 40}, max_image_size={"longest_edge": 20}), core, image_seq_len=1
    )


def smolvlm(words: int) -> tuple[Any, Any]:
    config = tf.SmolVLMConfig(
        vision_config=tower("smolvlm_vision"), text_config=text("llama", words), image_token_id=IMAGE, scale_factor=2
    )
    return tf.SmolVLMForConditionalGeneration(config), SmolVLMImageProcessorPil(
        size={"longest_edge": 40}, max_image_size={"longest_edge": 20}
    )


def pixtral(words: int) -> tuple[Any, Any]:
    config = tf.LlavaConfig(
        vision_config=tower("pixtral", image_size=40),
        text_config=text("mistral", words),
        image_token_id=IMAGE,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return tf.LlavaForConditionalGeneration(config), PixtralImageProcessorPil(size={"longest_edge": 40}, patch_size=10)


def mistral3(words: int) -> tuple[Any, Any]:
    config = tf.Mistral3Config(
        vision_config=tower("pixtral", image_size=40),
        text_config=text("mistral", words),
        image_token_id=IMAGE,
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    return tf.Mistral3ForConditionalGeneration(config), PixtralImageProcessorPil(
        size={"longest_edge": 40}, patch_size=20
    )


def mllama(words: int) -> tuple[Any, Any]:
    config = tf.MllamaConfig(
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": 20,
            "patch_size": 10,
            "vision_output_dim": 48,
            "max_num_tiles": 2,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
            "initializer_range": 0.2,
        },
        text_config={**text("mllama_text_model", words), "cross_attention_layers": [1], "num_hidden_layers": 3},
        image_token_index=IMAGE,
    )
    return tf.MllamaForConditionalGeneration(config), lambda core: tf.MllamaProcessor(
        MllamaImageProcessorPil(size=SQUARE, max_image_tiles=2), core
    )


BUILDERS: dict[str, Callable[[int], tuple[Any, Any]]] = {
    build.__name__: build
    for build in (
        *(llava, llava_next, llava_onevision, qwen2_vl, qwen2_5_vl, qwen3_vl, internvl),
        *(gemma3, idefics3, smolvlm, pixtral, mistral3, mllama),
    )
}


def build(family: str, padding_side: str = "left") -> tuple[Any, Any]:
    """A model of the family and its processor."""
    core = tokenizer(family, padding_side)
    torch.manual_seed(3)
    model, images = BUILDERS[family](len(core))
    for parameter in model.parameters():
        if not parameter.any():  # gates and projections that start closed would keep the picture out
            torch.nn.init.normal_(parameter, std=0.4)
    model.generation_config.eos_token_id = END
    model.generation_config.pad_token_id = PAD
    if callable(images) and not hasattr(images, "preprocess"):
        processor = images(core)
        processor.chat_template = core.chat_template
    else:
        pairing = next(one.pairing for one in FAMILIES if one.name == family)
        assert pairing is not None
        processor = Pair(core, images, model.config, pairing)
    return model.eval(), processor
