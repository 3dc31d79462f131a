"""Reads query lists that visitors send: one query a line, bounded, in UTF-8."""

from __future__ import annotations

from pathlib import Path

from ras_ext.errors import InputError
from ras_ext.queries import read_lines

MOST_QUERIES = 2000
LONGEST = 2000  # characters of one query


def read_query_file(path: Path) -> list[str]:
    """The queries of a file; blank lines and lines that start with # are passed over.

    Raises:
        InputError: it is not UTF-8, holds no query, too many, or one that is too long; the message names the line.
    """
    name = path.name
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name!r} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LONGEST:
            raise InputError(
                f"line {number} of {name!r} has {len(line):,} characters, more than the {LONGEST:,} taken here; "
                "write one query a line"
            )
        if not line.replace("\t", " ").isprintable():
            raise InputError(f"line {number} of {name!r} holds characters that cannot be printed; save it as text")
    queries = read_lines(text)
    if not queries:
        raise InputError(f"{name!r} holds no query; write one a line")
    if len(queries) > MOST_QUERIES:
        raise InputError(
            f"{name!r} holds {len(queries):,} queries, more than the {MOST_QUERIES:,} taken here; send fewer"
        )
    return queries
