"""LLaVA-OneVision: a SigLIP tower over the image and its tiles, and a Qwen2.

A single image is seen whole and in tiles laid out on the grid that fits its shape; several images are seen whole only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ras_ext.models.pair import Pair, Pairing
from ras_ext.models.parts import Family
from ras_ext.models.template import chatml


def tiles(pair: Pair, features: Mapping[str, Any], index: int) -> str:
    """As many image tokens as there are features: the whole image, then the tiles' rows without their padding."""
    from transformers.image_processing_utils import select_best_resolution

    vision = pair.config.vision_config
    side = vision.image_size // vision.patch_size
    if not _alone(features, index):
        return pair.image_token * (side * side + 1)  # and the mark of a new line
    height, width = (int(length) for length in features["image_sizes"][index])
    best_height, best_width = select_best_resolution((height, width), pair.config.image_grid_pinpoints)
    rows, columns = side * (best_height // vision.image_size), side * (best_width // vision.image_size)
    # The image was fitted into the grid: what lies beside it is cut off again, the same on both sides.
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    most = int(pair.config.vision_aspect_ratio.rsplit("_", 1)[-1])
    ratio = math.sqrt(rows * columns / (most * side * side))
    if ratio > 1.1:  # the model's own threshold for shrinking the grid
        rows, columns = int(rows // ratio), int(columns // ratio)
    return pair.image_token * (side * side + rows * (columns + 1))


def _alone(features: Mapping[str, Any], index: int) -> bool:
    """Whether the image is the only one of its request."""
    for count in (int(number) for number in features["batch_num_images"]):
        if index < count:
            return count == 1
        index -= count
    return True


FAMILY = Family(
    name="llava_onevision",
    model_types=("llava_onevision",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
    chat_template=chatml("<image>\n", after_role=" ", between=""),
    nested_images=True,
    pairing=Pairing(tiles, nested=True),
)
