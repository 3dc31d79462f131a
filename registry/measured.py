"""The outcome of an evaluation as a pack keeps it: one row for each defence, and on what it was measured.

Taken from the JSON of a report; answers, paths and the name of the machine's model folder stay outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import PackError
from .fields import is_number

KEY = "evaluation"  # of config["evidence"]
SHARES = ("asr", "asr_content", "over_refusal", "utility")
COUNTS = ("n_unsafe", "n_safe", "n_content", "n_utility")
_SPEEDS = ("tokens_per_s", "relative_throughput")
_SETTINGS = ("data_sha256", "batch_size", "max_new_tokens")
_ENVIRONMENT = ("ras_ext", "torch", "transformers", "dtype", "device")
_MAX_ROWS = 64
_REMEDY = "hand over the report of ras_ext.evaluate as it is"


def measured(report: Mapping[str, Any], data: str | None = None) -> dict[str, Any]:
    """The compact table of a report (``Report.to_dict()``); ``data`` is what the data set is to be called.

    Raises PackError if it is no report, or one that measured no vectors.
    """
    if not isinstance(report, Mapping) or not isinstance(report.get("rows"), (list, tuple)):
        raise PackError(f"the report must be an object with rows, got: {_shown(report)}; {_REMEDY}")
    used = report.get("vectors")
    if not isinstance(used, Mapping) or not isinstance(used.get("id"), str):
        raise PackError("the report measured no steering vectors; evaluate a defence that uses them, such as ras")
    if not 1 <= len(report["rows"]) <= _MAX_ROWS:
        raise PackError(f"the report must have 1 to {_MAX_ROWS} rows, got: {len(report['rows'])}; {_REMEDY}")
    around = report.get("environment")
    return {
        "data": data,
        "vectors": used["id"],
        **{name: report.get(name) for name in _SETTINGS},
        "environment": {name: around.get(name) for name in _ENVIRONMENT} if isinstance(around, Mapping) else {},
        "rows": [_row(row) for row in report["rows"]],
    }


def _row(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping) or not isinstance(row.get("defense"), str):
        raise PackError(f"a row of the report must name its defense, got: {_shown(row)}; {_REMEDY}")
    name = row["defense"]
    intervals = row.get("intervals")
    intervals = intervals if isinstance(intervals, Mapping) else {}
    return {
        "defense": name,
        **{count: _count(row.get(count), name, count) for count in COUNTS},
        **{share: _share(row.get(share), name, share) for share in SHARES},
        "intervals": {share: _interval(intervals.get(share), name, share) for share in SHARES},
        **{speed: _speed(row.get(speed), name, speed) for speed in _SPEEDS},
    }


def _count(value: Any, defense: str, name: str) -> int:
    if type(value) is not int or value < 0:
        raise _fault(defense, name, "a whole number from 0", value)
    return value


def _share(value: Any, defense: str, name: str) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise _fault(defense, name, "null or a share from 0 to 1", value)
    return round(float(value), 6)


def _interval(value: Any, defense: str, name: str) -> list[float | None] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise _fault(defense, f"intervals.{name}", "null or [low, high]", value)
    return [_share(end, defense, f"intervals.{name}") for end in value]


def _speed(value: Any, defense: str, name: str) -> float | None:
    if value is None:
        return None
    if not is_number(value) or value < 0:
        raise _fault(defense, name, "null or a number from 0", value)
    return float(f"{value:.4g}")


def _fault(defense: str, name: str, rule: str, value: Any) -> PackError:
    return PackError(f"{name} of {defense[:60]!r} must be {rule}, got: {_shown(value)}; {_REMEDY}")


def _shown(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:80] + "…"
