"""Batches of a family whose rows do not leave each other alone: run in parts, each of rows with equally many images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ras_ext.conversation import Request
from ras_ext.models import Family

Result = TypeVar("Result")


def parts_of(family: Family, requests: Sequence[Request]) -> list[list[int]]:
    """The rows that may run together, in order; all of them but for a family of even batches."""
    found: dict[int, list[int]] = {}
    for row, request in enumerate(requests):
        found.setdefault(len(request.images) if family.even_batches else 0, []).append(row)
    return list(found.values())


def run_in_parts(
    parts: list[list[int]], requests: Sequence[Request], run: Callable[[list[Request]], list[Result]]
) -> list[Result]:
    """What `run` gives for each part, put together again in the order of the requests."""
    found: dict[int, Result] = {}
    for rows in parts:
        found.update(zip(rows, run([requests[row] for row in rows]), strict=True))
    return [found[row] for row in range(len(requests))]
