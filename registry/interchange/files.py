"""Files of other tools: opened only if they are regular and small enough, written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import PackError
from ..layout import MIB
from ..paths import expanded
from ..swap import drafted

FILE_LIMIT = 64 * MIB  # 128 layers of 16,384 entries in f32 take 8 MiB


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """The file at ``path`` and its size in bytes. Raises PackError if it cannot be read or is too large."""
    file = expanded(path)
    try:
        info = file.stat()
        # A pipe or a device would be waited for without end.
        if not stat.S_ISREG(info.st_mode):
            raise PackError(f"{file} is not a regular file; name a file of steering vectors")
        if info.st_size > FILE_LIMIT:
            raise PackError(f"{file} has {info.st_size} bytes, more than the {FILE_LIMIT} allowed; name another file")
        stream = file.open("rb")
    except OSError as error:
        raise PackError(f"{file} cannot be read ({error.strerror}); check path and permissions") from None
    with stream:
        yield stream, info.st_size


def exactly(stream: BinaryIO, size: int, path: object) -> bytes:
    """The next ``size`` bytes. Raises PackError if the file ends before."""
    try:
        data = stream.read(size)
    except OSError as error:
        raise PackError(f"{path} cannot be read ({error.strerror}); check the disk") from None
    if len(data) != size:
        raise PackError(f"{path} is cut short: {size} bytes are due, {len(data)} are there; take it again")
    return data


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Let ``write`` fill a draft beside ``path``, then put it in its place. Raises PackError, the old file unharmed."""
    file = expanded(path)
    try:
        with drafted(file) as draft:
            write(draft)
    except OSError as error:
        reason = error.strerror or error
        raise PackError(f"{file} cannot be written ({reason}); make room or name another path") from None
    return file
