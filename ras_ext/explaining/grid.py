"""How a model's visual tokens lie on the image, and the coarser regions that they are pooled into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext.errors import InputError, ModelError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """Visual tokens row by row, ``rows`` x ``columns``, cut into ``down`` x ``across`` regions as even as can be."""

    rows: int
    columns: int
    down: int
    across: int

    @property
    def n_regions(self) -> int:
        return self.down * self.across

    def region(self) -> torch.Tensor:
        """The region of each token, ``(rows * columns,)`` i32, numbered row by row."""
        down = torch.arange(self.rows) * self.down // self.rows
        across = torch.arange(self.columns) * self.across // self.columns
        return (down[:, None] * self.across + across).flatten().int()

    def sizes(self) -> torch.Tensor:
        """How many tokens each region holds, ``(n_regions,)``."""
        return torch.bincount(self.region().long(), minlength=self.n_regions)

    def edges(self) -> tuple[list[float], list[float]]:
        """Where regions end, from 0 to 1 downwards and across."""
        return _edges(self.rows, self.down), _edges(self.columns, self.across)


def find_grid(inputs: dict[str, torch.Tensor], n_tokens: int, side: int) -> Grid:
    """The grid of one image's `n_tokens` visual tokens, with at most `side` regions down and across.

    Read from ``image_grid_thw`` where the processor gives it, else taken to be square.

    Raises:
        InputError: `side` is below 1.
        ModelError: the tokens form no grid that is known here.
    """
    if side < 1:
        raise InputError(f"an image needs at least 1 region a side, got {side}; 4 is usual")
    told = inputs.get("image_grid_thw")
    rows = columns = math.isqrt(n_tokens)
    if told is not None and told.shape[0] == 1:
        frames, rows, columns = (int(size) for size in told[0])
        merged = math.isqrt(max(frames * rows * columns // max(n_tokens, 1), 1))
        rows, columns = rows // merged, columns // merged
    if rows * columns != n_tokens or not n_tokens:
        raise ModelError(
            f"the {n_tokens} visual tokens of this image form no grid that is known here; regions can be shown for "
            "models that lay one image out row by row"
        )
    return Grid(rows, columns, _even(rows, side), _even(columns, side))


def seen_box(processor: Any, size: tuple[int, int]) -> Box:
    """The part of an image of `size` (width, height) that the model is shown: left, top, right, bottom in pixels.

    Image processors that scale the shorter side and crop the middle, as CLIP's does, cut the rest away.
    """
    width, height = size
    image = getattr(processor, "image_processor", None)
    scaled = getattr(image, "size", None) or {}
    crop = getattr(image, "crop_size", None) or {}
    shortest = scaled.get("shortest_edge") if hasattr(scaled, "get") else None
    if not (getattr(image, "do_center_crop", False) and getattr(image, "do_resize", False) and shortest):
        return (0.0, 0.0, float(width), float(height))
    scale = min(width, height) / shortest
    across = min(float(width), scale * (crop.get("width") or shortest))
    down = min(float(height), scale * (crop.get("height") or shortest))
    left, top = (width - across) / 2, (height - down) / 2
    return (left, top, left + across, top + down)


def _even(tokens: int, side: int) -> int:
    """The most regions up to `side` that divide the tokens evenly; `side` itself where only one would."""
    wanted = min(side, tokens)
    return next((n for n in range(wanted, 1, -1) if tokens % n == 0), wanted)


def _edges(tokens: int, regions: int) -> list[float]:
    starts = [math.ceil(n * tokens / regions) / tokens for n in range(regions)]
    return [*starts, 1.0]
