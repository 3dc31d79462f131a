"""Reads the small files that people write by hand: query lists and prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ras_ext.errors import InputError
from ras_ext.queries import read_lines

if TYPE_CHECKING:
    from ras_ext.prompts import Prompts


def read_text(path: Path, what: str) -> str:
    """The text of a UTF-8 file, a byte order mark left out.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the {what} {str(path)!r} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from None
    except OSError as error:
        raise InputError(f"the {what} {str(path)!r} cannot be read: {error.strerror}; check the path") from None


def read_queries(path: Path) -> list[str]:
    """One query a line; blank lines and lines that start with # are passed over.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or holds no query.
    """
    queries = read_lines(read_text(path, "query file"))
    if not queries:
        raise InputError(f"the query file {str(path)!r} holds no query; write one a line")
    return queries


def read_prompts(path: Path) -> Prompts:
    """Prompts from a JSON object with any of visual_context, safety, reformulation and max_context_tokens.

    Raises:
        InputError: the file is no such object.
        PackError: a prompt cannot be used.
    """
    from ras_ext.prompts import Prompts

    try:
        value = json.loads(read_text(path, "prompt file"))
    except ValueError as error:
        raise InputError(f"the prompt file {str(path)!r} is not JSON ({error}); write one object") from None
    if not isinstance(value, dict):
        raise InputError(f"the prompt file {str(path)!r} must hold a JSON object, got {type(value).__name__}")
    for name, prompt in value.items():
        wanted = int if name == "max_context_tokens" else str
        if not isinstance(prompt, wanted) or isinstance(prompt, bool):
            raise InputError(f"the prompt file {str(path)!r}: {name} must be a {_KIND[wanted]}, got {prompt!r}")
    return Prompts.from_dict(value)


_KIND = {int: "whole number", str: "text"}
