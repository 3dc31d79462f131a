"""Qwen2-VL: images of any size, one token for each square of merged patches, positions in three dimensions.

The positions follow from `image_grid_thw` and from which tokens are images, so both must reach ``generate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ras_ext.models.pair import Pair, Pairing
from ras_ext.models.parts import Family
from ras_ext.models.template import chatml

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
CHAT_TEMPLATE = chatml(IMAGE, before="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")


def grid(pair: Pair, features: Mapping[str, Any], index: int) -> str:
    """One image token for each square of merged patches."""
    merged = pair.config.vision_config.spatial_merge_size**2
    return pair.image_token * (int(features["image_grid_thw"][index].prod()) // merged)


PAIRING = Pairing(grid, types="mm_token_type_ids")
FAMILY = Family(
    name="qwen2_vl",
    model_types=("qwen2_vl",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.visual",
    chat_template=CHAT_TEMPLATE,
    pairing=PAIRING,
)
