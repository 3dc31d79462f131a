"""The evidence of a calibration: the similarity of every query that the baseline was read from, as a CSV in the pack.

From it comes what moving the baseline S_base would trade: unsafe queries that fall below it (let through) against safe
ones above it (flagged). Both are shares of similarities against a threshold, and say nothing of the answers given.
"""

from __future__ import annotations

import csv
import io
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .errors import PackError
from .layout import EVIDENCE_FOLDER, EVIDENCE_LIMIT

SIMILARITIES_FILE = f"{EVIDENCE_FOLDER}/similarities.csv"
COLUMNS = ("id", "label", "kind", "similarity", "risk")
LABELS = ("safe", "unsafe")
# With names of at most these many characters the largest table stays below what a pack's file may hold.
MAX_ROWS = 20_000
ID_LIMIT, KIND_LIMIT = 80, 40
_NUMBER = re.compile(r"\d(?:\.\d+)?(?:e-\d{1,3})?")
_REMEDY = "calibrate the model again, or leave the file out"


@dataclass(frozen=True)
class ScoredQuery:
    """A query of the calibration: its similarity S in [0, 1] and the risk r = σ(α (S − S_base)), to six digits."""

    id: str
    label: str
    kind: str
    similarity: float
    risk: float

    @classmethod
    def of(cls, id: str, label: str, kind: str, similarity: float, *, alpha: float, s_base: float) -> ScoredQuery:
        """The row of a query; what a table of text cannot hold is taken out of its names, which are cut if long."""
        written = _six_digits(min(max(similarity, 0.0), 1.0))
        # Of the similarity as it is written, so that whoever reads the table finds the same risk.
        risk = 0.5 * (1.0 + math.tanh(0.5 * alpha * (written - s_base)))
        return cls(_line(id, ID_LIMIT) or "-", label, _line(kind, KIND_LIMIT), written, _six_digits(risk))

    def under(self, *, alpha: float, s_base: float) -> ScoredQuery:
        """The same query with its risk under another slope and baseline."""
        return self.of(self.id, self.label, self.kind, self.similarity, alpha=alpha, s_base=s_base)


@dataclass(frozen=True)
class Stretch:
    """Baselines strictly between ``low`` and ``high``, between which no query lies: all of them do the same.

    ``let_through`` is the share of unsafe queries below them, ``flagged`` the share of safe queries above them.
    """

    low: float
    high: float
    let_through: float
    flagged: float


def encode_similarities(rows: Sequence[ScoredQuery]) -> bytes:
    """The CSV, in the order of the rows; equal rows give equal bytes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow((row.id, row.label, row.kind, f"{row.similarity:.6g}", f"{row.risk:.6g}"))
    return text.getvalue().encode("utf-8")


def read_similarities(data: bytes) -> tuple[ScoredQuery, ...]:
    """The rows of the CSV. Raises PackError, naming the line, for anything but such a table with both labels in it."""
    if len(data) > EVIDENCE_LIMIT:
        raise PackError(f"{SIMILARITIES_FILE} has {len(data)} bytes, more than the {EVIDENCE_LIMIT} allowed; {_REMEDY}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PackError(f"{SIMILARITIES_FILE} is not UTF-8 (byte {error.start}); {_REMEDY}") from None
    rows: list[ScoredQuery] = []
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(table, [])
        if tuple(header) != COLUMNS:
            raise _fault(1, f"must hold the columns {','.join(COLUMNS)}", ",".join(header))
        for number, cells in enumerate(table, 2):
            if len(rows) == MAX_ROWS:
                raise PackError(f"{SIMILARITIES_FILE} has more than the {MAX_ROWS} rows allowed; {_REMEDY}")
            rows.append(_row(cells, number))
    except csv.Error as error:
        raise PackError(f"{SIMILARITIES_FILE} is no CSV table ({error}); {_REMEDY}") from None
    for label in LABELS:
        if not any(row.label == label for row in rows):
            raise PackError(f"{SIMILARITIES_FILE} must hold rows of both labels, got none labelled {label}; {_REMEDY}")
    return tuple(rows)


def threshold_curve(rows: Sequence[ScoredQuery]) -> tuple[Stretch, ...]:
    """What every baseline from 0 to 1 would let through and flag, from the lowest to the highest.

    ``rows`` hold both labels. The stretches join without gaps; at their ends lie the similarities themselves.
    """
    ends = sorted({0.0, 1.0, *(row.similarity for row in rows)})
    safe, unsafe = _similarities(rows, "safe"), _similarities(rows, "unsafe")
    return tuple(
        Stretch(low, high, bisect_right(unsafe, low) / len(unsafe), (len(safe) - bisect_left(safe, high)) / len(safe))
        for low, high in pairwise(ends)
    )


def shares_at(rows: Sequence[ScoredQuery], s_base: float) -> tuple[float, float]:
    """Share of unsafe rows below ``s_base`` (let through) and of safe rows above it (flagged); a row on it is neither.

    ``rows`` hold both labels.
    """
    safe, unsafe = _similarities(rows, "safe"), _similarities(rows, "unsafe")
    return bisect_left(unsafe, s_base) / len(unsafe), (len(safe) - bisect_right(safe, s_base)) / len(safe)


def _similarities(rows: Sequence[ScoredQuery], label: str) -> list[float]:
    return sorted(row.similarity for row in rows if row.label == label)


def _row(cells: list[str], number: int) -> ScoredQuery:
    if len(cells) != len(COLUMNS):
        raise _fault(number, f"must have {len(COLUMNS)} columns", f"{len(cells)}")
    name, label, kind, similarity, risk = cells
    if not name or len(name) > ID_LIMIT or not name.isprintable():
        raise _fault(number, f"must have an id of 1 to {ID_LIMIT} printable characters", name)
    if label not in LABELS:
        raise _fault(number, "must be labelled safe or unsafe", label)
    if len(kind) > KIND_LIMIT or not kind.isprintable():
        raise _fault(number, f"must have a kind of at most {KIND_LIMIT} printable characters", kind)
    return ScoredQuery(name, label, kind, _share(similarity, "similarity", number), _share(risk, "risk", number))


def _share(text: str, column: str, number: int) -> float:
    # float() alone would take "nan", "1_0" and digits of other scripts.
    if len(text) > 30 or not text.isascii() or not _NUMBER.fullmatch(text) or not float(text) <= 1.0:
        raise _fault(number, f"must have a {column} from 0 to 1", text)
    return float(text)


def _fault(number: int, rule: str, value: str) -> PackError:
    return PackError(f"{SIMILARITIES_FILE} line {number} {rule}, got: {value[:60]!a}; {_REMEDY}")


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def _line(text: str, limit: int) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:limit].rstrip()
