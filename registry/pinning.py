"""Pinning names in a lock file to what they stand for now, and checking that a lock file still holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import PackError
from .lock import Locked, read_lock, write_lock
from .resolve import Opened, locate


def pin(
    names: Sequence[str], file: str | os.PathLike[str], *, refresh: bool = True, **options: Any
) -> dict[str, Locked]:
    """Write what ``names`` stand for (asked anew, options as :func:`locate`) to a lock file; other entries stay.

    Returns all entries. Raises as :func:`locate`; the file is then as it was.
    """
    entries = read_lock(file) if Path(file).expanduser().exists() else {}
    for name in names:
        entries[name] = _entry(locate(name, refresh=refresh, **options))
    write_lock(file, entries)
    return entries


def check_pins(file: str | os.PathLike[str], **options: Any) -> dict[str, str | None]:
    """Load every entry of a lock file: name → None, or why that failed. Raises PackError if there is no such file."""
    found: dict[str, str | None] = {}
    for name in read_lock(file):
        try:
            locate(name, lock=file, **options)
            found[name] = None
        except PackError as error:
            found[name] = str(error)
    return found


def _entry(opened: Opened) -> Locked:
    source = opened.source
    if source is None:
        return Locked(opened.pack.digest)
    return Locked(opened.pack.digest, source.repo, source.url, opened.revision)
