"""A studio without a page or a model, and packs that differ, for tests of the places packs are in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ras_ext import SteeringVectors
from ras_ext.studio.desk import Desk
from ras_ext.studio.places import Places
from ras_ext.studio.shelf import Shelf
from ras_ext.studio.studio import Studio


def studio_in(place: Path, **settings: Any) -> tuple[Studio, Places]:
    """A studio that keeps its packs below `place`."""
    shelf = Shelf(place / "studio")

    def opens(name: str) -> tuple[Any, Any]:
        raise AssertionError(f"{name} was opened, and nothing here needs a model")

    desk = Desk(["builtin:organism"], shelf, opens=opens, places=lambda name: name)
    studio = Studio(desk, shelf, "builtin:organism", **settings)
    return studio, Places(studio)


def with_slope(vectors: SteeringVectors, alpha: float) -> SteeringVectors:
    """Another pack: the same prototypes under another slope."""
    return replace(vectors, alpha=alpha)
