"""How the tests serve the organism, and its evaluation set as clients send it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from PIL import Image

from ras_ext.items import Item

# What the organism is served with everywhere here: f32 as it was calibrated, and room for four engines in one machine.
ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 256,
    "limit_mm_per_prompt": {"image": 2},
    "disable_log_stats": True,
    "block_size": 32,
}


def conversation(item: Item, *, as_url: bool = False) -> list[dict[str, Any]]:
    """An item of the evaluation set in OpenAI's form, its image before the first words."""
    turns: list[dict[str, Any]] = []
    for asked, answered in item.history:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    turns.append({"role": "user", "content": item.text})
    if item.image is not None:
        first = turns[0]
        first["content"] = [picture(item.image, as_url=as_url), {"type": "text", "text": first["content"]}]
    return turns


def picture(path: Path, *, as_url: bool = False) -> dict[str, Any]:
    """An image as a part of a message: opened, or as the data URL that HTTP clients send."""
    if not as_url:
        return {"type": "image_pil", "image_pil": Image.open(path).convert("RGB")}
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
