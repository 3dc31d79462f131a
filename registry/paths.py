"""Paths as people and files of theirs write them: whatever cannot be one is told apart before it is used."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .errors import PackNotFoundError
from .layout import CONFIG_FILE

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR)


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` expanded, whether anything is there or not.

    Raises PackNotFoundError for what this machine cannot take as a path (an unknown user, a NUL, too long a name, a
    circle of links, a folder that may not be entered): pathlib lets a different error out of each.
    """
    try:
        file = Path(path).expanduser()
        os.stat(file / CONFIG_FILE)
    except (RuntimeError, ValueError) as error:
        raise PackNotFoundError(f"{_shown(path)} cannot be a path on this machine ({error}); correct it") from None
    except OSError as error:
        if error.errno not in _NOTHING_THERE:
            raise PackNotFoundError(
                f"{_shown(path)} cannot be reached ({error.strerror}); check path and permissions"
            ) from None
    return file


def _shown(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    return repr(text if len(text) <= 120 else text[:120] + "…")
