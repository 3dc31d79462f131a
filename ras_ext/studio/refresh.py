"""What a tab does when it is opened, so that its lists hold what came about elsewhere meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Refresh(NamedTuple):
    """A handler, the widgets that it updates, and those that it reads."""

    function: Callable[..., Any]
    outputs: list[Any]
    inputs: tuple[Any, ...] = ()
