"""What the fuzz tests share: damaged bytes of every kind, and the one property that all readers are held to."""

from __future__ import annotations

import copy
import json
import os
import signal
import struct
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ras_ext.registry import RasExtError

SECONDS = 10.0  # a case takes milliseconds; the rest is for a machine that is busy with other things
PEAK = 32 * 2**20
LONGEST_MESSAGE = 2000
TIMES = int(os.environ.get("RAS_EXT_FUZZ", "1"))  # above 1: so many times the cases, and new ones in every run

NUMBERS = [-1, 0, 1, 2, 7, 8, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40]
TOKENS = [
    *map(str, NUMBERS),
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "-0.0", "1e-400", "0.5", "1.0", "null", "true", "false"),
    *('""', '"a"', '"\\ud800"', '"\\u0000"', '"\\n\\r"', '"../../x"', '"/etc/passwd"', '"~nobody-of-that-name/x"'),
    *("[]", "{}", "[[]]", '{"a": 1}', '{"a": 1, "a": 2}', '[{"dtype": "F32"}]', "[null]", '{"": {"": {}}}'),
    *(
        "9" * 5000,
        '"' + "x" * 30_000 + '"',
        "[" * 100_000,
        "[1" + ",1" * 5000 + "]",
        "",
        "{",
        '"\t"',
        "0x10",
        "1.",
        "'a'",
    ),
    *('"' + "0" * 64 + '"', '"' + "0" * 40 + '"', '"F32"', '"F16"', '"BF16"', '"I64"', '"{query}"', '"file:///"'),
]


class Hung(BaseException):
    """A case took too long. No Exception, so that no handler on the way swallows it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise :class:`Hung` in the block once ``seconds`` have gone by."""

    def ring(*_: Any) -> None:
        raise Hung(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def fuzz(
    cases: st.SearchStrategy[Any],
    read: Callable[[Any], object],
    count: int,
    seconds: float = SECONDS,
    shrink: bool = True,
) -> None:
    """Call ``read`` on ``count`` cases: each ends within ``seconds``, and well or with a RasExtError of one line."""
    done = 0

    @settings(
        max_examples=count * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def every_case(case: Any) -> None:
        nonlocal done
        done += 1
        message = "none"
        with within(seconds):
            try:
                read(case)
            except RasExtError as error:
                message = str(error)
        assert message
        assert message.isprintable(), "a sentence for one line of a terminal"
        assert len(message) <= LONGEST_MESSAGE

    every_case()
    assert done >= count


def weigh(cases: st.SearchStrategy[Any], read: Callable[[Any], object], count: int, shrink: bool = True) -> None:
    """As :func:`fuzz`, and no case takes more than :data:`PEAK` bytes."""

    def weighed(case: Any) -> None:
        tracemalloc.start()
        try:
            read(case)
        except RasExtError:
            pass
        finally:
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert used <= PEAK

    fuzz(cases, weighed, count, shrink=shrink)


def tokens() -> st.SearchStrategy[str]:
    """Pieces of JSON text, many of them broken, out of range or of the wrong type."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    values = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
    nested = st.integers(1, 1100).map(lambda depth: "[" * depth + "]" * depth)
    return st.sampled_from(TOKENS) | values.map(json.dumps) | nested


@st.composite
def broken_json(draw: st.DrawFn, sound: Mapping[str, Any]) -> bytes:
    """The JSON text of ``sound`` with one to three keys dropped, renamed, added, doubled or given another value."""
    value = copy.deepcopy(dict(sound))
    holes: dict[str, str] = {}
    for number in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "replace", "replace", "drop", "rename", "add", "swap"]))
        hole = f"@{number}@"
        if change == "drop":
            del container[key]
        elif change == "swap":
            other, other_key = draw(st.sampled_from(places))
            container[key] = copy.deepcopy(other[other_key])
        elif change == "rename" and isinstance(container, dict):
            container[draw(st.text(max_size=10) | st.sampled_from(["../x", "a\nb", "\ud800"]))] = container.pop(key)
        elif change == "add" and isinstance(container, dict):
            container[draw(st.text(max_size=10))] = hole
            holes[hole] = draw(tokens())
        else:
            container[key] = hole
            holes[hole] = draw(tokens())
    text = json.dumps(value)
    for hole, token in holes.items():
        text = text.replace(json.dumps(hole), token)
    keys = [key for container, key in _places(value) if isinstance(container, dict)]
    if keys and draw(st.integers(0, 9)) == 0:
        key = json.dumps(draw(st.sampled_from(keys)))
        text = text.replace(f"{key}:", f"{key}: 1, {key}:", 1)
    raw = text.encode("utf-8", "surrogatepass")
    return draw(spliced(raw)) if draw(st.integers(0, 9)) == 0 else raw


@st.composite
def spliced(draw: st.DrawFn, sound: bytes) -> bytes:
    """``sound`` with a few bytes replaced by others or by a number at the edge of its type, cut or made longer."""
    raw = sound
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        number = st.sampled_from([number for number in NUMBERS if 0 <= number < 2**64])
        wide = number.map(lambda value: struct.pack("<Q", value))
        narrow = number.map(lambda value: struct.pack("<I", value % 2**32))
        new = draw(wide | narrow | st.binary(max_size=6))
        raw = raw[:at] + new + raw[at + draw(st.sampled_from([len(new), len(new), 0, 4])) :]
    end = draw(st.sampled_from(["whole", "whole", "whole", "cut", "longer"]))
    if end == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    return raw + bytes(draw(st.integers(1, 5000))) if end == "longer" else raw


@st.composite
def broken_tensors(draw: st.DrawFn, sound: bytes) -> bytes:
    """A safetensors file with a damaged header: lengths, offsets, dtypes, shapes, names; or damaged anywhere."""
    if draw(st.integers(0, 4)) == 0:
        return draw(spliced(sound))
    size = int.from_bytes(sound[:8], "little")
    header, data = sound[8 : 8 + size], sound[8 + size :]
    if draw(st.integers(0, 9)):
        header = draw(broken_json(json.loads(header)))
    lengths = st.sampled_from([0, 1, 2, len(header) - 1, len(header) + 1, 65_535, 65_536, 2**40, 2**63 - 1, 2**63])
    length = len(header) if draw(st.integers(0, 4)) else max(draw(lengths), 0)
    cut = draw(st.sampled_from([len(data), len(data), len(data) - 1, 0]))
    return struct.pack("<Q", length) + header + data[:cut] + bytes(draw(st.sampled_from([0, 0, 0, 1, 8])))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)
