"""Where the risk is: attention and risk per image region, and how well each layer tells safe from unsafe requests.

Names are resolved on first use, so that the guard can take its evidence from here without a circle.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "AttentionReader": "ras_ext.explaining.interface",
    "Explanation": "ras_ext.explaining.explanation",
    "FirstWords": "ras_ext.explaining.words",
    "Separation": "ras_ext.explaining.layers",
    "View": "ras_ext.explaining.explanation",
    "draw_explanation": "ras_ext.explaining.drawing",
    "draw_layers": "ras_ext.explaining.drawing",
    "explain": "ras_ext.explaining.explanation",
    "first_words": "ras_ext.explaining.words",
    "layer_separation": "ras_ext.explaining.layers",
}

__all__ = [
    "AttentionReader",
    "Explanation",
    "FirstWords",
    "Separation",
    "View",
    "draw_explanation",
    "draw_layers",
    "explain",
    "first_words",
    "layer_separation",
]

if TYPE_CHECKING:
    from ras_ext.explaining.drawing import draw_explanation, draw_layers
    from ras_ext.explaining.explanation import Explanation, View, explain
    from ras_ext.explaining.interface import AttentionReader
    from ras_ext.explaining.layers import Separation, layer_separation
    from ras_ext.explaining.words import FirstWords, first_words


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ras_ext.explaining' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
