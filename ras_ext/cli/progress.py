"""Shows how far long work is: bars with an ETA on a terminal, now and then a line in a log. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from ras_ext.progress_titles import title_of

_PAUSE = 10.0  # seconds between two lines in a log


class Pace:
    """How long a stage still takes, by what was done since it began here: what was there before costs no time."""

    def __init__(self, now: float, done: int) -> None:
        self._began, self._first = now, done
        self._last, self._done = now, done

    def reached(self, now: float, done: int) -> None:
        """Notes that so many are done."""
        self._last, self._done = now, done

    def left(self, now: float, total: int) -> float | None:
        """Seconds until all are done, None while nobody can know."""
        if self._done <= self._first:
            return None
        whole = (self._last - self._began) / (self._done - self._first) * (total - self._done)
        return max(0.0, whole - (now - self._last))


class _Left(ProgressColumn):
    """The time that is left. Rich's own column looks back 30 seconds only, and a batch can take longer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        super().__init__()

    def render(self, task: Task) -> Text:
        seconds = task.fields["pace"].left(self._clock(), int(task.total or 0))
        return Text("-:--:-- left" if seconds is None else f"{timedelta(seconds=round(seconds))} left", "cyan")


class Watch:
    """Context manager whose instance is called with (stage, done, total).

    Args:
        quiet: show nothing, in the second and later processes of one run.
        clock: seconds, as ``time.monotonic`` gives them.
    """

    def __init__(self, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        console = Console(stderr=True, quiet=quiet)
        self._bars: Progress | None = None
        self._quiet, self._clock = quiet, clock
        if console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Left(clock))
            self._bars = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}
        self._paces: dict[str, Pace] = {}
        self._said = clock()

    @property
    def begun(self) -> bool:
        """Whether any stage was reached."""
        return bool(self._paces)

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
        title, now = title_of(stage), self._clock()
        pace = self._paces.setdefault(stage, Pace(now, done))
        pace.reached(now, done)
        if self._bars:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(title, total=total, completed=done, pace=pace)
            self._bars.update(self._tasks[stage], completed=done, total=total)
            return
        seconds = pace.left(now, total)
        if not self._quiet and now - self._said >= _PAUSE and done < total and seconds is not None:
            self._said = now
            sys.stderr.write(f"{title}: {done} of {total}, about {seconds:.0f} s left\n")
            sys.stderr.flush()
