"""Qwen3-VL: features of several depths of the tower enter the first decoder layers too; no system turn of its own.

What enters those layers is added before the final norm, so nothing changes for the reading and the steering.
"""

from __future__ import annotations

from ras_ext.models.parts import Family
from ras_ext.models.qwen2_vl import IMAGE, PAIRING
from ras_ext.models.template import chatml

FAMILY = Family(
    name="qwen3_vl",
    model_types=("qwen3_vl",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.visual",
    chat_template=chatml(IMAGE),
    pairing=PAIRING,
)
