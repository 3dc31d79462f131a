"""RAS inside vLLM: offline (:class:`GuardedLLM`), online (:class:`AsyncGuard`), and as a server (``ras-ext serve``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ras_ext.serve.offline import GuardedLLM, ServedAnswer
    from ras_ext.serve.online import AsyncGuard

_WHERE = {"GuardedLLM": "offline", "ServedAnswer": "offline", "AsyncGuard": "online"}
__all__ = ["AsyncGuard", "GuardedLLM", "ServedAnswer"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
