"""Qwen2.5-VL: Qwen2-VL with windows in its tower; the same prompt and the same inputs."""

from __future__ import annotations

from ras_ext.models.parts import Family
from ras_ext.models.qwen2_vl import CHAT_TEMPLATE, PAIRING

FAMILY = Family(
    name="qwen2_5_vl",
    model_types=("qwen2_5_vl",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.visual",
    chat_template=CHAT_TEMPLATE,
    pairing=PAIRING,
)
