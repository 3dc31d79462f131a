"""Work in a thread of its own, that tells a page how far it is and ends when nobody wants it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Told = TypeVar("Told")

_OFTEN = 0.04  # seconds between two states that a page is sent: 25 a second


class CancelledError(Exception):
    """The work was called off."""


class Work(Generic[Told]):
    """Runs ``function(tell)`` and yields what it tells: always the newest, since each state tells all.

    ``tell(state)`` raises :class:`CancelledError` in the work once it was called off, by :meth:`cancel` or because
    whoever iterated went away. What the function raises is raised where the states are read.
    """

    def __init__(self, function: Callable[[Callable[[Told], None]], None]) -> None:
        self._function = function
        self._news = threading.Condition()
        self._state: list[Told] = []
        self._ended = False
        self._cancelled = threading.Event()
        self._error: BaseException | None = None

    def cancel(self) -> None:
        """Calls it off; it ends at the next state it tells."""
        self._cancelled.set()

    def __iter__(self) -> Iterator[Told]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._state or self._ended)
                    told, self._state = self._state, []
                    ended = self._ended
                if told:
                    yield told[-1]
                if ended:
                    break
                self._cancelled.wait(_OFTEN)
        finally:
            self.cancel()  # not waited for: a page that is left must not hold up the others
        if self._error is not None:
            raise self._error

    def _tell(self, state: Told) -> None:
        if self._cancelled.is_set():
            raise CancelledError
        with self._news:
            self._state = [state]
            self._news.notify()

    def _run(self) -> None:
        try:
            self._function(self._tell)
        except BaseException as error:  # raised again where it is read
            self._error = error
        with self._news:
            self._ended = True
            self._news.notify()


class Jobs:
    """The long work of each visitor, one of a kind at a time, so that a button or leaving the page can call it off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], Work] = {}

    def run(self, visitor: str, work: Work[Told], kind: str = "") -> Iterator[Told]:
        """Yields what the work tells; work of the same visitor and kind that still runs is called off first."""
        with self._lock:
            before = self._running.get((visitor, kind))
            self._running[visitor, kind] = work
        if before is not None:
            before.cancel()
        try:
            yield from work
        finally:
            with self._lock:
                if self._running.get((visitor, kind)) is work:
                    del self._running[visitor, kind]

    def running(self, visitor: str, kind: str) -> bool:
        """Whether there is work of that visitor and kind."""
        with self._lock:
            return (visitor, kind) in self._running

    def cancel(self, visitor: str, kind: str | None = None) -> bool:
        """Calls off a visitor's work, of one kind or all of it; whether there was any."""
        with self._lock:
            found = [work for (whose, what), work in self._running.items() if whose == visitor and kind in (None, what)]
        for work in found:
            work.cancel()
        return bool(found)
