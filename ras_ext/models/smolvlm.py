"""SmolVLM: Idefics3's layout with a small language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ras_ext.models.idefics3 import chat_template
from ras_ext.models.pair import Pair, Pairing
from ras_ext.models.parts import Family

_AROUND, _WHOLE = "<fake_token_around_image>", "<global-img>"


def tiles(pair: Pair, features: Mapping[str, Any], index: int) -> str:
    """The tiles row by row, each with its place, then the whole image; a fixed number of tokens each."""
    vision = pair.config.vision_config
    seen = pair.image_token * ((vision.image_size // vision.patch_size) ** 2 // pair.config.scale_factor**2)
    rows = [number for request in features["rows"] for number in request][index]
    columns = [number for request in features["cols"] for number in request][index]
    text = ""
    for row in range(1, rows + 1):
        text += "".join(f"{_AROUND}<row_{row}_col_{column}>{seen}" for column in range(1, columns + 1)) + "\n"
    return f"{text}\n{_AROUND}{_WHOLE}{seen}{_AROUND}" if text else f"{_AROUND}{_WHOLE}{seen}{_AROUND}"


FAMILY = Family(
    name="smolvlm",
    model_types=("smolvlm",),
    final_norm="model.text_model.norm",
    layers="model.text_model.layers",
    vision="model.vision_model",
    chat_template=chat_template("<|im_start|>"),
    nested_images=True,
    pairing=Pairing(
        tiles,
        options=lambda config: {"return_row_col_info": True},
        unused=("rows", "cols"),
        nested=True,
        packages=("torchvision", "num2words"),
    ),
)
