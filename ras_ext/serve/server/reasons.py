"""Why a request failed, in one word: error messages quote what clients sent, and have no place in logs and labels."""

from __future__ import annotations

import re

OTHER = "other"
_STATUSES = {401: "unauthorized", 404: "not_found", 405: "not_allowed", 413: "too_large", 499: "disconnected"}
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")


def reason_of(error: BaseException) -> str:
    """The class of an error as a word: ``input`` of InputError, ``unauthorized``, ``timeout``, ``model``."""
    name = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(error).__name__).lower()
    return a_word(re.sub(r"_(error|exception)$", "", name))


def of_status(status: int) -> str:
    """The reason of a request that came to no handler of ours, by the status it was answered with."""
    return _STATUSES.get(status, "engine" if status >= 500 else "input")


def a_word(reason: str) -> str:
    """The reason itself, or ``other`` for what is no single word."""
    return reason if _WORD.fullmatch(reason) else OTHER
