"""Query lists that are sent: one a line, bounded, UTF-8, and one sentence for all else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ras_ext.errors import InputError
from ras_ext.studio.query_files import LONGEST, MOST_QUERIES, read_query_file


def read(tmp_path: Path, data: bytes) -> list[str]:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    return read_query_file(path)


@pytest.mark.parametrize(
    "data",
    [
        b"one query\nanother\n",
        b"one query\r\nanother",
        b"one query\ranother\r",
        b"\xef\xbb\xbfone query\nanother\n",
        b"# a comment\n\n  one query \n\t\n#\nanother",
    ],
)
def test_a_list_is_read_however_it_was_saved(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == ["one query", "another"]


def test_queries_of_other_scripts_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "was ist das ?\nこれは何ですか".encode()) == ["was ist das ?", "これは何ですか"]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only a comment\n", b"\xef\xbb\xbf", b"   "])
def test_a_list_without_a_query_is_said(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"'list\.txt' holds no query; write one a line"):
        read(tmp_path, data)


@pytest.mark.parametrize("data", ["Grüße".encode("latin-1"), "a query".encode("utf-16"), b"a\xc3"])
def test_a_list_that_is_not_utf_8_is_said_with_the_place(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"'list\.txt' is not UTF-8 \(byte \d+: .*\); save it as UTF-8"):
        read(tmp_path, data)


@pytest.mark.parametrize("data", [b"one\nt\0o", b"one\n\x1b[31mred", b"one\n\x7f"])
def test_characters_that_cannot_be_printed_are_said_with_their_line(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"line 2 of 'list\.txt' holds characters that cannot be printed"):
        read(tmp_path, data)


def test_the_longest_query_is_taken_and_one_more_character_is_not(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"a" * LONGEST)[0]) == LONGEST
    with pytest.raises(InputError, match=rf"line 2 of 'list\.txt' has {LONGEST + 1:,} characters"):
        read(tmp_path, b"one\n" + b"a" * (LONGEST + 1))


def test_as_many_as_are_taken_and_one_more(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"a query\n" * MOST_QUERIES)) == MOST_QUERIES
    with pytest.raises(InputError, match=rf"holds {MOST_QUERIES + 1:,} queries, more than the {MOST_QUERIES:,}"):
        read(tmp_path, b"a query\n" * (MOST_QUERIES + 1))
