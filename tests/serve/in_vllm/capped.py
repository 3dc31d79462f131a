"""A small Gemma 3 whose head caps its logits, with vectors made for it: random numbers, nobody's answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3Processor, PreTrainedTokenizerFast
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from ras_ext import SteeringVectors, models
from ras_ext.base_model import describe_model
from ras_ext.conversation import Request
from ras_ext.prompts import Prompts
from ras_ext.risk import judge, score
from ras_ext.schedule import Schedule
from ras_ext.states import opening

MARKS = ["[pad]", "[end]", "[unk]", "<image_soft_token>", "<start_of_image>", "<end_of_image>", "Q:", "A:"]
MARKS += ["\n" * lines for lines in range(1, 5)]  # vLLM looks for them around images
WORDS, CAP = 120, 4.0
PROMPTS = Prompts("w1 w2 w3", "w4 w5 w6 w7", max_context_tokens=6)
TEMPLATE = (
    "{% for m in messages %}{{ 'Q:' if m.role == 'user' else 'A:' }}{% for c in m.content %}"
    "{{ ' <start_of_image> ' if c.type == 'image' else ' ' + c.text }}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)


def load(folder: Path) -> tuple[Any, Any]:
    """The model in transformers, with the cap that transformers leaves out in this class and vLLM does not."""
    model, processor = models.load(str(folder))
    model.lm_head.register_forward_hook(lambda _module, _args, logits: torch.tanh(logits / CAP) * CAP)
    return model, processor


def build(folder: Path) -> Path:
    """Saves the model with its processor, as vLLM reads them."""
    core = Tokenizer(
        tokenizer_models.WordLevel(
            {word: at for at, word in enumerate([*MARKS, *(f"w{n}" for n in range(WORDS))])}, unk_token="[unk]"
        )
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(" +"), "removed"), pre_tokenizers.Split(Regex("\n+"), "isolated")]
    )
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS[:6]])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="[end]",
        pad_token="[pad]",
        unk_token="[unk]",
        padding_side="left",
        extra_special_tokens={"boi_token": MARKS[4], "eoi_token": MARKS[5], "image_token": MARKS[3]},
    )
    torch.manual_seed(5)
    config = Gemma3Config(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "image_size": 40,
            "patch_size": 10,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "gemma3_text",
            "vocab_size": len(MARKS) + WORDS,
            "hidden_size": 64,
            "intermediate_size": 80,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 256,
            "max_position_embeddings": 256,
            "final_logit_softcapping": CAP,
            "eos_token_id": 1,
            "bos_token_id": 1,
            "pad_token_id": 0,
            "tie_word_embeddings": True,
            "initializer_range": 0.4,
        },
        mm_tokens_per_image=4,
        image_token_id=3,
        boi_token_index=4,
        eoi_token_index=5,
        eos_token_id=1,
        tie_word_embeddings=True,
        initializer_range=0.4,
    )
    model = Gemma3ForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        if "post_" in name:  # what the layers add has to outweigh the last word, else it is repeated for ever
            torch.nn.init.constant_(parameter, 8.0)
        elif not parameter.any():
            torch.nn.init.normal_(parameter, std=0.4)
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    weights = folder / "model.safetensors"
    save_file({_published(name): tensor for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    images = Gemma3ImageProcessorPil(size={"height": 40, "width": 40})
    Gemma3Processor(images, tokenizer, chat_template=TEMPLATE, image_seq_length=4).save_pretrained(folder)
    return folder


def _published(name: str) -> str:
    """A weight's name as published checkpoints have it, which is how vLLM knows it."""
    tower = "vision_tower."
    return f"{tower}vision_model.{name.removeprefix(tower)}" if name.startswith(tower) else name


def vectors(model: Any, processor: Any) -> SteeringVectors:
    """Prototypes of some of its own answers, and a threshold between the similarities it has."""
    requests = [Request.of(None, f"w{n} w{n + 1}") for n in range(8, 14)]
    parts = models.read(model)
    opened = opening(parts, processor, requests, 6, 6)
    prototypes = opened.states.float().mean(0)
    logits = parts.logits(prototypes)
    weights = 0.3 ** torch.arange(3.0)
    made = SteeringVectors(
        name="capped",
        base_model=describe_model(model, processor, final_norm=parts.family.final_norm),
        prototypes=prototypes,
        prototype_mixture=(weights[:, None] * logits[:3].softmax(-1)).sum(0),
        gamma=0.3,
        alpha=12.0,
        s_base=0.5,
        prompts=PROMPTS,
        schedules={"paper": Schedule.paper(), "long": Schedule.decaying(6)},
        schedule="long",
    )
    similarity, _ = score(*judge(model, processor, requests, PROMPTS, 3)[:2], made)
    return replace(made, s_base=float(similarity.median()))
