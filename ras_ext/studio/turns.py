"""One piece of work on a model at a time, in the order they came; long work gives way between its batches."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A lock that is fair: whoever has waited longest is next, so that eight people who ask are answered in turn."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: deque[threading.Event] = deque()
        self._taken = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    def take(self) -> None:
        """Waits for one's turn."""
        with self._guard:
            if not self._taken and not self._line:
                self._taken = True
                return
            called = threading.Event()
            self._line.append(called)
        called.wait()

    def leave(self) -> None:
        """Hands over to whoever waits longest."""
        with self._guard:
            if self._line:
                self._line.popleft().set()  # the turn is theirs before they wake, so that nobody comes in between
            else:
                self._taken = False

    def give_way(self) -> None:
        """Lets all who wait now have a turn, and goes on behind them; to be called where the model is as it was."""
        if self._line:
            self.leave()
            self.take()

    def __enter__(self) -> Turns:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
