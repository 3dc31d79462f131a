"""What differs between model families; one file each. A model of no known family is refused, never guessed."""

from __future__ import annotations

from typing import Any

from ras_ext.errors import ModelError
from ras_ext.models import llava
from ras_ext.models.load import load
from ras_ext.models.parts import Family, Parts, find_parts

__all__ = ["FAMILIES", "Family", "Parts", "load", "read"]

FAMILIES: tuple[Family, ...] = (llava.FAMILY,)


def read(model: Any) -> Parts:
    """Finds the parts of a loaded model.

    Raises:
        ModelError: the model's type is of no known family, or a part is missing.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    for family in FAMILIES:
        if kind in family.model_types:
            return find_parts(family, model)
    known = ", ".join(sorted(t for family in FAMILIES for t in family.model_types))
    raise ModelError(f"models of type {kind!r} are not supported; supported types: {known}")
