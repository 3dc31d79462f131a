"""Shows how far long work is: bars with an ETA on a terminal, now and then a line in a log. Always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_TITLES = {
    "prototypes": "reading how the model refuses",
    "baseline": "scoring safe and unsafe requests",
    "context": "trying without the visual context",
    "schedule": "choosing how long to steer",
    "answers": "answering",
}
_PAUSE = 10.0  # seconds between two lines in a log


class Watch:
    """Context manager whose instance is called with (stage, done, total)."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._said = time.monotonic()

    def __enter__(self) -> Watch:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            if kind is None:  # a stage may need less than its total
                for task in self._bars.tasks:
                    self._bars.update(task.id, total=task.completed)
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        title = _TITLES.get(stage, stage)
        if self._bars:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(title, total=total, completed=done)
            self._bars.update(self._tasks[stage], completed=done, total=total)
            return
        now = time.monotonic()
        began, first = self._began.setdefault(stage, (now, done))
        if now - self._said >= _PAUSE and first < done < total:
            self._said = now
            left = (now - began) / (done - first) * (total - done)
            sys.stderr.write(f"{title}: {done} of {total}, about {left:.0f} s left\n")
            sys.stderr.flush()
