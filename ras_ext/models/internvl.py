"""InternVL in transformers' own form: an InternViT over tiles, patches shuffled into channels, and a Qwen2 or Llama."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ras_ext.models.pair import Pair, Pairing
from ras_ext.models.parts import Family
from ras_ext.models.template import chatml


def tiles(pair: Pair, features: Mapping[str, Any], index: int) -> str:
    """A fixed number of image tokens a tile, between the marks of an image."""
    count = pair.config.image_seq_length * int(features["num_patches"][index])
    start = getattr(pair.tokenizer, "start_image_token", None) or "<img>"
    end = getattr(pair.tokenizer, "end_image_token", None) or "</img>"
    return f"{start}{pair.image_token * count}{end}"


FAMILY = Family(
    name="internvl",
    model_types=("internvl",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
    chat_template=chatml("<IMG_CONTEXT>\n"),
    pairing=Pairing(tiles, options=lambda config: {"crop_to_patches": True}, unused=("num_patches",)),
)
