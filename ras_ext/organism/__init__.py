"""A model organism: a tiny LLaVA with a real safety gap, and the toy world it lives in.

It refuses harmful requests in words and complies when the harm comes through the picture, so every stage of the
defence can be run, measured and tested without a download or a GPU. It knows nothing about the real world: its
"harmful" answers are invented words.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
MODEL = FOLDER / "model"  # opens with AutoModelForImageTextToText / AutoProcessor
PACK = FOLDER / "pack"  # its calibrated steering vectors
