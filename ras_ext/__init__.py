"""Risk-adaptive activation steering for open multimodal models.

Names are resolved on first use (PEP 562), so ``import ras_ext`` needs neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {  # public name -> module that defines it
    "Guard": "ras_ext.guard",
    "GuardedAnswer": "ras_ext.guard",
    "Explanation": "ras_ext.explaining",
    "Item": "ras_ext.items",
    "Prompts": "ras_ext.prompts",
    "Risk": "ras_ext.risk",
    "Schedule": "ras_ext.schedule",
    "SteeringVectors": "ras_ext.vectors",
    "calibrate": "ras_ext.calibration",
    "evaluate": "ras_ext.evaluation",
    "explain": "ras_ext.explaining",
    "load_items": "ras_ext.items",
    "load_vectors": "ras_ext.loading",
}
_MODULES = ("defenses", "errors", "models", "ops", "registry")

__all__ = ["__version__", *_HOME, *_MODULES]

if TYPE_CHECKING:
    from ras_ext import defenses, errors, models, ops, registry
    from ras_ext.calibration import calibrate
    from ras_ext.evaluation import evaluate
    from ras_ext.explaining import Explanation, explain
    from ras_ext.guard import Guard, GuardedAnswer
    from ras_ext.items import Item, load_items
    from ras_ext.loading import load_vectors
    from ras_ext.prompts import Prompts
    from ras_ext.risk import Risk
    from ras_ext.schedule import Schedule
    from ras_ext.vectors import SteeringVectors


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f"ras_ext.{name}")
    raise AttributeError(f"module 'ras_ext' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
