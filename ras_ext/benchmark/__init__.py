"""Measures the operators against what a user would write without them, and against what the machine can do at all.

`cases` says what is measured, `compositions` and `peers` against what, `agreement` that all of them answer alike,
`timer` how long each takes, `limits` how fast the machine copies, `rows` makes rows of it, `record` keeps them.
"""

from __future__ import annotations

from ras_ext.benchmark.cases import Case, select
from ras_ext.benchmark.machine import describe, name
from ras_ext.benchmark.rows import Row, run

__all__ = ["Case", "Row", "describe", "name", "run", "select"]
