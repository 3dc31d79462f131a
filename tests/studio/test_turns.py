"""One at a time, in the order of asking; long work lets those who wait go first."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from ras_ext.studio.turns import Turns


def _in_line(turns: Turns, done: list[int], number: int) -> threading.Thread:
    """A thread that waits for its turn and then writes down its number; returns once it stands in the line."""
    before = turns.waiting

    def work() -> None:
        with turns:
            done.append(number)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    _until(lambda: turns.waiting > before)
    return thread


def _until(reached: object) -> None:
    end = time.monotonic() + 20
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)


def test_those_who_wait_are_served_in_the_order_they_came() -> None:
    turns, done = Turns(), list[int]()
    with turns:
        threads = [_in_line(turns, done, number) for number in range(8)]
        assert turns.waiting == 8
        assert not done
    for thread in threads:
        thread.join(20)
    assert done == list(range(8))
    assert turns.waiting == 0


def test_long_work_gives_way_to_all_who_wait_and_goes_on_behind_them() -> None:
    turns, done = Turns(), list[int]()
    with turns:
        first = [_in_line(turns, done, number) for number in range(3)]
        turns.give_way()
        assert done == [0, 1, 2]
        late = _in_line(turns, done, 3)
        assert done == [0, 1, 2]  # it has the turn again
    for thread in (*first, late):
        thread.join(20)
    assert done == [0, 1, 2, 3]


def test_giving_way_to_nobody_keeps_the_turn() -> None:
    turns, done = Turns(), list[int]()
    with turns:
        turns.give_way()
        waiting = _in_line(turns, done, 1)
        assert not done
    waiting.join(20)
    assert done == [1]


def test_two_that_give_way_to_each_other_take_turns() -> None:
    turns, steps, begun = Turns(), list[str](), threading.Barrier(2)

    def work(name: str) -> None:
        begun.wait(20)
        with turns:
            _until(lambda: turns.waiting or len(steps) >= 10)
            for _ in range(5):
                steps.append(name)
                turns.give_way()

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(steps) == list("aaaaabbbbb")
    assert all(one != other for one, other in pairwise(steps))


def test_eight_threads_are_never_inside_together() -> None:
    turns, inside, most, rounds = Turns(), [0], [0], [0]

    def work() -> None:
        for _ in range(50):
            with turns:
                for _ in range(2):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0)
                    inside[0] -= 1
                    turns.give_way()
                rounds[0] += 1

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most[0], rounds[0], turns.waiting) == (1, 400, 0)


def test_an_error_inside_hands_the_turn_over() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="spilled"), turns:
        raise ValueError("spilled")
    with turns:
        assert turns.waiting == 0
