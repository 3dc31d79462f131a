"""LLaVA-NeXT: LLaVA with the image also in tiles of full resolution. Its checkpoints stand on several language models,
each with its own chat format, so there is no usual template."""

from __future__ import annotations

from ras_ext.models.parts import Family

FAMILY = Family(
    name="llava_next",
    model_types=("llava_next",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
)
