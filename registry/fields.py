"""Checked access to the fields of a JSON object: each getter returns the value in its type or raises one sentence.

:meth:`Fields.close` refuses what nobody asked for, so that a misspelt field never passes in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from . import strict_json
from .errors import PackError, RasExtError

REMEDY = "correct the field or take the pack again from where it came"


class Fields:
    """The fields of the object at ``where`` (a dotted path, empty for the whole config).

    What is no pack says otherwise what is wrong (``error``) and what to do (``remedy``).
    """

    error: type[RasExtError] = PackError
    remedy = REMEDY

    def __init__(self, value: Any, where: str = "") -> None:
        self.where = where
        if not isinstance(value, Mapping):
            raise self.error(f"{where or 'the config'} must be an object, got: {_shown(value)}; {self.remedy}")
        self._value = value
        self._seen: set[str] = set()

    def path(self, key: Any) -> str:
        return f"{self.where}.{strict_json.shown(key)}" if self.where else strict_json.shown(key)

    def raw(self, key: str) -> Any:
        self._seen.add(key)
        if key not in self._value:
            raise self.error(f"{self.path(key)} is missing; {self.remedy}")
        return self._value[key]

    def fail(self, key: str, rule: str, value: Any) -> RasExtError:
        return self.error(f"{self.path(key)} must be {rule}, got: {_shown(value)}; {self.remedy}")

    def text(self, key: str, *, pattern: str | None = None, rule: str = "text", limit: int = 20_000) -> str:
        value = self.raw(key)
        if not isinstance(value, str) or len(value) > limit or strict_json.fault(value, key):
            raise self.fail(key, f"{rule} of at most {limit} characters", value)
        if pattern is not None and not re.fullmatch(pattern, value):
            raise self.fail(key, rule, value)
        return value

    def optional_text(self, key: str, **rules: Any) -> str | None:
        return None if self.raw(key) is None else self.text(key, **rules)

    def integer(self, key: str, low: int, high: int) -> int:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(key, f"a whole number from {low} to {high}", value)
        return value

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        return None if self.raw(key) is None else self.integer(key, low, high)

    def number(self, key: str, rule: str, low: float, high: float, *, open_ends: bool = False) -> float:
        value = self.raw(key)
        if not is_number(value):
            raise self.fail(key, rule, value)
        if not (low < value < high if open_ends else low <= value <= high):
            raise self.fail(key, rule, value)
        return float(value)

    def items(self, key: str, limit: int) -> list[Any]:
        value = self.raw(key)
        if not isinstance(value, (list, tuple)) or len(value) > limit:
            raise self.fail(key, f"a list of at most {limit} entries", value)
        return list(value)

    def table(self, key: str) -> Fields:
        return type(self)(self.raw(key), self.path(key))

    def optional_table(self, key: str) -> Fields | None:
        return None if self.raw(key) is None else self.table(key)

    def free(self, key: str) -> dict[str, Any]:
        """An object whose fields are open, checked only for being exact JSON."""
        value = self.raw(key)
        if not isinstance(value, Mapping):
            raise self.fail(key, "an object", value)
        sentence = strict_json.fault(dict(value), self.path(key))
        if sentence:
            raise self.error(f"{sentence}; {self.remedy}")
        return dict(value)

    def keys(self) -> list[Any]:
        return list(self._value)

    def close(self) -> None:
        unknown = [key for key in self._value if key not in self._seen]
        if unknown:
            raise self.error(f"{self.path(unknown[0])} is not a field of this schema; {self.remedy}")


def is_number(value: Any) -> bool:
    """True for a finite int or float that a double can hold; bool is not a number here."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return "an integer beyond 64 bits"
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:80] + "…"
