"""Which packs the engines of this process hold, so that a request is refused before it reaches a worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ras_ext.serve.engine.order import Order

_held: set[str] = set()


def hold(packs: Iterable[str]) -> None:
    """These packs are in every worker now."""
    _held.update(packs)


def held() -> tuple[str, ...]:
    return tuple(sorted(_held))


def check_order(extra_args: Mapping[str, Any] | None) -> None:
    """Raises ValueError unless a request says what the defence is to do with it, in terms of packs that are held."""
    order = Order.of(extra_args)
    if order is None:
        raise ValueError(
            "this engine is defended and answers no request that does not say how; "
            "ask through /v1/chat/completions of `ras-ext serve`, or through ras_ext.serve"
        )
    if order.pack is not None and order.pack not in _held:
        known = ", ".join(sorted(_held)) or "none"
        raise ValueError(f"there is no pack {order.pack!r} in this engine; it holds {known}")
