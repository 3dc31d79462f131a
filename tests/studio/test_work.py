"""Work in a thread: the newest state is read, it can be called off, and its errors come out where it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ras_ext.errors import InputError
from ras_ext.studio.work import CancelledError, Jobs, Work

Tell = Callable[[int], None]
WAIT = 20  # seconds, after which a test is stuck


class Endless:
    """Tells on and on until it is called off."""

    def __init__(self) -> None:
        self.told, self.ended, self.why = 0, threading.Event(), ""
        self.pause = threading.Event()

    def __call__(self, tell: Tell) -> None:
        try:
            while True:
                tell(self.told)
                self.told += 1
                self.pause.wait(0.002)
        except BaseException as error:
            self.why = type(error).__name__
            raise
        finally:
            self.ended.set()


def test_the_newest_state_is_read_and_the_last_never_lost() -> None:
    def count(tell: Tell) -> None:
        for number in range(1000):
            tell(number)

    read = list(Work(count))
    assert read[-1] == 999
    assert read == sorted(set(read))
    assert len(read) < 1000  # those that were overtaken are passed over


def test_work_that_tells_nothing_ends_without_a_state() -> None:
    assert list(Work(lambda tell: None)) == []


def test_an_error_is_raised_where_the_states_are_read_after_the_last_of_them() -> None:
    def fall(tell: Tell) -> None:
        tell(1)
        raise InputError("it fell")

    read: list[int] = []
    with pytest.raises(InputError, match="it fell"):
        read.extend(Work(fall))
    assert read == [1]


def test_an_exit_inside_the_work_ends_the_work_alone() -> None:
    def leave(tell: Tell) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(Work(leave))


def test_what_is_called_off_ends_at_its_next_state() -> None:
    endless = Endless()
    work = Work(endless)
    read = iter(work)
    next(read)
    work.cancel()
    with pytest.raises(CancelledError):
        for _ in read:
            pass
    assert endless.ended.wait(WAIT)
    assert endless.why == "CancelledError"


def test_what_is_called_off_before_it_begins_tells_nothing() -> None:
    endless = Endless()
    work = Work(endless)
    work.cancel()
    with pytest.raises(CancelledError):
        list(work)
    assert endless.told == 0


def test_whoever_stops_reading_ends_the_work() -> None:
    endless = Endless()
    read = iter(Work(endless))
    next(read)
    read.close()  # type: ignore[attr-defined]
    assert endless.ended.wait(WAIT)
    assert endless.why == "CancelledError"


def test_new_work_of_a_kind_replaces_the_old_and_leaves_other_kinds_and_visitors_alone() -> None:
    jobs = Jobs()
    ends = {key: Endless() for key in ("old", "new", "other kind", "other visitor")}
    old = jobs.run("ann", Work(ends["old"]), "try")
    other_kind = jobs.run("ann", Work(ends["other kind"]), "tune")
    other_visitor = jobs.run("bob", Work(ends["other visitor"]), "try")
    for one in (old, other_kind, other_visitor):
        next(one)
    new = jobs.run("ann", Work(ends["new"]), "try")
    next(new)
    assert ends["old"].ended.wait(WAIT)
    with pytest.raises(CancelledError):
        list(old)
    assert jobs.running("ann", "try")  # the old one's end does not strike the new one out
    for one in (new, other_kind, other_visitor):
        next(one)
        one.close()  # type: ignore[attr-defined]
    assert not any(jobs.running(who, kind) for who in ("ann", "bob") for kind in ("try", "tune"))


def test_a_visitor_calls_off_one_kind_or_everything_of_theirs() -> None:
    jobs = Jobs()
    ends = {key: Endless() for key in (("ann", "try"), ("ann", "tune"), ("bob", "try"))}
    reads = {key: jobs.run(key[0], Work(end), key[1]) for key, end in ends.items()}
    for read in reads.values():
        next(read)
    assert jobs.cancel("ann", "try")
    assert ends["ann", "try"].ended.wait(WAIT)
    assert not ends["ann", "tune"].ended.is_set()
    assert jobs.cancel("ann")
    assert ends["ann", "tune"].ended.wait(WAIT)
    assert not ends["bob", "try"].ended.is_set()
    reads["bob", "try"].close()  # type: ignore[attr-defined]
    assert not jobs.cancel("bob")
    assert not jobs.cancel("nobody", "try")
