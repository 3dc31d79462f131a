"""Mistral 3: Pixtral's tower and prompt, with neighbouring patches merged before the projector."""

from __future__ import annotations

from ras_ext.models.pair import Pairing
from ras_ext.models.parts import Family
from ras_ext.models.pixtral import CHAT_TEMPLATE, patch, rows

FAMILY = Family(
    name="mistral3",
    model_types=("mistral3",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
    chat_template=CHAT_TEMPLATE,
    pairing=Pairing(rows, options=lambda config: {"patch_size": patch(config)}),
)
