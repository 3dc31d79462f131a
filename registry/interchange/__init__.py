"""Steering vectors from and for other tools: llama.cpp control vectors (GGUF) and plain safetensors files.

A plain vector pulls every token of every request alike; what of a pack it cannot carry stands in docs/interchange.md.
"""

from __future__ import annotations

from .bringing_in import import_direction, read_direction
from .control_vector import read_gguf, write_gguf
from .direction import Direction, direction_of
from .plain import read_safetensors, write_safetensors

__all__ = [
    "Direction",
    "direction_of",
    "import_direction",
    "read_direction",
    "read_gguf",
    "read_safetensors",
    "write_gguf",
    "write_safetensors",
]
