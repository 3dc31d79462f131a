"""Pixtral in LLaVA's frame: a tower that reads any size in rows, a projector and a Mistral."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ras_ext.models.pair import Pair, Pairing
from ras_ext.models.parts import Family
from ras_ext.models.template import content

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}"
    + content("[IMG]")
    + "{{ eos_token }}{% else %}[INST]"
    + content("[IMG]")
    + "[/INST]{% endif %}{% endfor %}"
)


def patch(config: Any) -> int:
    """Pixels along a side of the square that becomes one token."""
    return config.vision_config.patch_size * getattr(config, "spatial_merge_size", 1)


def rows(pair: Pair, features: Mapping[str, Any], index: int) -> str:
    """One image token per patch, a break after each row, an end after the last."""
    size = patch(pair.config)
    height, width = (int(side) // size for side in features["image_sizes"][index])
    return "[IMG_BREAK]".join([pair.image_token * width] * height) + "[IMG_END]"


FAMILY = Family(
    name="pixtral",
    model_types=("llava",),
    vision_types=("pixtral",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
    chat_template=CHAT_TEMPLATE,
    pairing=Pairing(rows, options=lambda config: {"patch_size": patch(config)}),
)
