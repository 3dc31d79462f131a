"""Calls that reach over a network, waited for no longer than was said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ras_ext.errors import RegistryError

T = TypeVar("T")


def within(seconds: float, what: str, call: Callable[[], T], end: str = "try again later") -> T:
    """The result of ``call``; what takes longer goes on unheeded in its thread.

    Raises RegistryError when the time is over, and what the call raises.
    """
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # raised again where it is waited for
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not found:
        raise RegistryError(f"{what} took longer than {seconds:g} seconds and is not waited for; {end}")
    return found[0]
