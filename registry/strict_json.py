"""JSON as a pack may hold it: finite numbers, no repeated keys, bounded depth.

Every JSON text that comes from outside passes through :func:`parse`; every hash of JSON is of :func:`canonical`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from .errors import PackError

MAX_DEPTH = 32
REMEDY = "take it again from where it came"


def parse(raw: bytes, what: str, remedy: str = REMEDY) -> dict[str, Any]:
    """Read one JSON object; ``what`` names it in errors, ``remedy`` says what to do. Raises PackError on all else."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_no_repeats, parse_constant=_no_constant, parse_int=_whole
        )
    except PackError as error:
        raise PackError(f"{what} {error}; {remedy}") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise PackError(f"{what} is not valid JSON ({reason}); {remedy}") from None
    if not isinstance(value, dict):
        raise PackError(f"{what} must hold a JSON object, got: {type(value).__name__}; {remedy}")
    if _deeper(value, 2 * MAX_DEPTH):
        # The parser's own limit lies beyond what copying or showing the value can take.
        raise PackError(f"{what} is nested too deeply (beyond {2 * MAX_DEPTH} levels); {remedy}")
    return value


def canonical(value: Any) -> bytes:
    """One byte string per JSON value, whatever the order of its keys: the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def pretty(value: Any) -> bytes:
    """The form that is written to disk: two spaces, keys in the order given, UTF-8, one newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def fault(value: Any, where: str, depth: int = 0) -> str | None:
    """The first thing in ``value`` that JSON cannot carry exactly, as the rest of a sentence, or None."""
    if depth > MAX_DEPTH:
        return f"{where} is nested deeper than {MAX_DEPTH} levels"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if abs(value) < 2**63 else f"{where} holds an integer beyond 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{where} must be finite, got: {value}"
    if isinstance(value, str):
        return None if _encodable(value) else f"{where} holds text that is not valid Unicode"
    if isinstance(value, (list, tuple)):
        found = (fault(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value))
        return next((sentence for sentence in found if sentence), None)
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not _encodable(key):
                return f"{where} has a key that is not text, got: {shown(key)}"
            sentence = fault(item, f"{where}.{shown(key)}", depth + 1)
            if sentence:
                return sentence
        return None
    return f"{where} must be a JSON value, got: {type(value).__name__}"


def shown(value: object, limit: int = 80) -> str:
    """A value as an error message quotes it: one line of ASCII, no longer than ``limit`` and an ellipsis."""
    text = ascii(value)
    text = text[1:-1] if isinstance(value, str) else text
    return text if len(text) <= limit else text[:limit] + "…"


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        held = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in held for item in items if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise PackError(f"names the field {repeated[:80]!r} twice")
    return result


def _whole(digits: str) -> int:
    # Python before 3.11 takes seconds over a megabyte of digits.
    if len(digits) > 20:
        raise PackError("holds an integer beyond 64 bits")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise PackError(f"holds {name}, which is not a finite number")
