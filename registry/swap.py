"""Writing a folder or a file so that a reader sees the old one or the new one, never a part of either.

The new one is built beside its target, flushed to disk, then put in its place by one rename or (Linux) one exchange.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import PackError
from .layout import CARD_FILE, CONFIG_FILE, EVIDENCE_FOLDER, SIGNATURE_FILE, TENSORS_FILE
from .paths import expanded

_OWN = {CARD_FILE, CONFIG_FILE, TENSORS_FILE, EVIDENCE_FOLDER, SIGNATURE_FILE}
_FORGOTTEN = 3600.0  # seconds after which a stage belongs to nobody: its writer was killed
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def check_target(folder: str | os.PathLike[str]) -> Path:
    """The absolute path of ``folder`` if a pack may be written there: absent, empty, or holding nothing but a pack.

    Raises PackError otherwise. Long work should ask before it starts.
    """
    target = expanded(folder).resolve()
    if Path.cwd().is_relative_to(target):
        raise PackError(f"{target} is the current folder or above it, and a pack replaces its folder; name another one")
    if target.exists() and not target.is_dir():
        raise PackError(f"{target} is a file; name a folder to write the pack to")
    others = sorted(entry.name for entry in target.iterdir() if entry.name not in _OWN) if target.exists() else []
    if others:
        shown = ", ".join(others[:3])
        raise PackError(f"{target} holds files that are no part of a pack ({shown}); name an empty or a new folder")
    return target


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` to fill; it takes target's place if the block ends well, else it vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    stage = target.parent / f".{target.name}.{secrets.token_hex(6)}.staged"
    stage.mkdir()
    try:
        yield stage
        flush(stage)
        put_in_place(stage, target)
        _flush_folder(target.parent)
    finally:
        # After an exchange the stage holds what stood at the target before.
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def drafted(target: Path, *, new: bool = False) -> Iterator[Path]:
    """A file beside ``target`` to write; it takes target's place if the block ends well, else it vanishes.

    ``new``: only where nothing stands, else FileExistsError. OSError leaves target unharmed.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        _flush_file(draft)
        (os.link if new else os.replace)(draft, target)
    finally:
        with suppress(OSError):  # its folder may be none
            draft.unlink(missing_ok=True)


def fill(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write files (path inside the folder → bytes). Raises OSError."""
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _sweep(parent: Path) -> None:
    for left in parent.glob(".*.staged*"):
        try:
            if time.time() - left.stat().st_mtime > _FORGOTTEN:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # its writer was quicker


def put_in_place(stage: Path, target: Path) -> None:
    """Move ``stage`` to ``target``; what stood there is left at ``stage`` or gone. OSError leaves target unharmed."""
    if not target.exists():
        try:
            os.rename(stage, target)
            return
        except OSError as error:
            # Another writer was quicker: go on and replace its folder whole.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    if not _exchange(stage, target):
        _replace_in_two_steps(stage, target)


def _exchange(stage: Path, target: Path) -> bool:
    """Swap two folders in one step where the system can (Linux renameat2); False where it cannot."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes  # rarely needed: where something stood before

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return renameat2(_AT_FDCWD, os.fsencode(stage), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0


def _replace_in_two_steps(stage: Path, target: Path) -> None:
    aside = stage.with_name(stage.name + ".old")
    os.rename(target, aside)
    try:
        os.rename(stage, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def flush(folder: Path) -> None:
    """Wait until the disk holds a folder and all that is in it. Raises OSError."""
    for path in folder.rglob("*"):
        if path.is_file():
            _flush_file(path)
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _flush_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
