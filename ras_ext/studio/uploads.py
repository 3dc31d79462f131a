"""What visitors send: bounded, read, and deleted; nothing else on this machine can be named from the page."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ras_ext.errors import InputError

MOST_BYTES = 20 << 20  # of one file
_STRAY = 60.0  # seconds
MOST_FILES = 500  # of one upload: a query file and its pictures
MOST_HELD = 1 << 30  # bytes of all visitors' files at once


class Uploads:
    """A private folder in which sent files lie until they are read, and which goes when the studio ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ras-ext-studio-"))
        self.arriving = self.folder / "arriving"
        self.arriving.mkdir(mode=0o700)
        self._kept: dict[str, list[Path]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, paths: Sequence[str | Path] | str | Path | None) -> Iterator[list[Path]]:
        """The files of an upload, deleted on leaving.

        Raises:
            InputError: there is none, there are too many, one is too large, or one is none of what was sent.
        """
        given = [] if paths is None else [paths] if isinstance(paths, (str, Path)) else list(paths)
        found: list[Path] = []
        try:
            for path in given:
                found.append(self._checked(Path(path)))  # one by one: those before a bad one are deleted all the same
            if not found:
                raise InputError("no file was sent; choose one")
            if len(found) > MOST_FILES:
                raise InputError(
                    f"{len(found)} files were sent, more than the {MOST_FILES} taken at a time; send fewer"
                )
            for path in found:
                if (size := path.stat().st_size) > MOST_BYTES:
                    raise InputError(f"{path.name!r} has {size:,} bytes, more than the {MOST_BYTES:,} taken here")
            yield found
        finally:
            for path in found:
                path.unlink(missing_ok=True)
                _remove_if_empty(path.parent, self.arriving)
            self._sweep()

    def keep(self, visitor: str, files: Sequence[Path]) -> Path:
        """Copies files into a folder of the visitor's that goes with the visit; returns it.

        Raises:
            InputError: two have one name.
        """
        names = [path.name for path in files]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"two of the files sent are called {twice[0]!r}; give each its own name")
        folder = Path(tempfile.mkdtemp(prefix="visit-", dir=self.folder))
        with self._lock:
            self._kept.setdefault(visitor, []).append(folder)
        for path in files:
            shutil.copyfile(path, folder / path.name)
        return folder

    def forget(self, visitor: str) -> None:
        """Deletes all that a visitor sent."""
        with self._lock:
            folders = self._kept.pop(visitor, [])
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def is_full(self) -> bool:
        """Whether so much lies here that no more is taken until some of it is deleted."""
        held = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):  # deleted meanwhile
                    held += os.stat(os.path.join(folder, name)).st_size
        return held > MOST_HELD

    def close(self) -> None:
        """Deletes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes the empty files that Gradio leaves for every file it hands over; a new one may be just arriving."""
        for stray in self.arriving.glob("tmp*"):
            try:
                found = stray.stat()
                if not found.st_size and time.time() - found.st_mtime > _STRAY:
                    stray.unlink()
            except OSError:  # somebody else was quicker
                continue

    def _checked(self, path: Path) -> Path:
        try:
            real = path.resolve()
            if self.arriving.resolve() in real.parents and real.is_file():
                return real
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name that no system takes
            pass
        raise InputError(f"{path.name[:120]!r} is no file that was sent from this page; send it again")


def _remove_if_empty(folder: Path, top: Path) -> None:
    try:
        if folder != top.resolve():
            folder.rmdir()
    except OSError:
        pass
