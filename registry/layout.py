"""The folder of a pack: which files it may hold, how large they may be, and how one is read safely.

Nothing is opened before its name, its kind and its size have been checked; a file reaches the parser as bytes only.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from .errors import PackError, PackNotFoundError

CONFIG_FILE = "ras_config.json"
TENSORS_FILE = "ras_vectors.safetensors"
CARD_FILE = "README.md"
EVIDENCE_FOLDER = "evidence"
SIGNATURE_FILE = "model.sig"  # what the model-signing tools call it; it signs the others, so none of them lists it

MIB = 2**20
# The largest layout in sight (vocabulary 262,144, hidden size 16,384, 64 prototypes, f32) takes about 10 MiB.
SIZE_LIMITS = {CONFIG_FILE: MIB, CARD_FILE: MIB, TENSORS_FILE: 64 * MIB, SIGNATURE_FILE: MIB}
EVIDENCE_LIMIT = 16 * MIB
TOTAL_LIMIT = 128 * MIB
MAX_FILES = 256

_EVIDENCE_NAME = re.compile(
    r"evidence/(?:[A-Za-z0-9_][A-Za-z0-9._-]*/){0,3}[A-Za-z0-9_][A-Za-z0-9._-]*\.(?:json|jsonl|csv|md|txt|png|svg)"
)
_AGAIN = "take the pack again from where it came"


def check_member(name: object) -> str:
    """Return ``name`` if a pack may list a file under it, else raise PackError (absolute, ``..``, other types, …)."""
    if not isinstance(name, str):
        raise PackError(f"files lists a name that is not text, got: {name!r}; {_AGAIN}")
    shown = name if len(name) <= 120 else name[:120] + "…"
    parts = re.split(r"[/\\]", name)
    if "\\" in name or ":" in name or "\0" in name or name.startswith(("/", "~")) or ".." in parts:
        raise PackError(f"files lists {shown!r}, which would leave the pack's folder; do not use this pack")
    if name in (CARD_FILE, TENSORS_FILE):
        return name
    if len(name) > 200 or not _EVIDENCE_NAME.fullmatch(name):
        raise PackError(
            f"files lists {shown!r}, but a pack holds only {CARD_FILE}, {TENSORS_FILE} and "
            f"{EVIDENCE_FOLDER}/*.json|jsonl|csv|md|txt|png|svg; rename or leave out that file"
        )
    return name


def size_limit(name: str) -> int:
    """The most bytes that the file ``name`` of a pack may have."""
    return SIZE_LIMITS.get(name, EVIDENCE_LIMIT)


def read_member(folder: Path, name: str) -> bytes:
    """Read one file of a pack; links are followed inside it (in a Hub cache: inside that repository's cache) only.

    Raises PackNotFoundError if the folder or its ras_config.json is missing, PackError for every other fault.
    """
    if not folder.is_dir():
        raise PackNotFoundError(f"there is no pack at {folder}: no such folder; check the path")
    path = folder / name
    try:
        resolved = path.resolve(strict=True)
        info = resolved.stat()
    except FileNotFoundError:
        if name == CONFIG_FILE:
            raise PackNotFoundError(f"{folder} is not a pack: it holds no {CONFIG_FILE}; check the path") from None
        raise PackError(f"the pack {folder} lacks {name}, which its {CONFIG_FILE} lists; {_AGAIN}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise PackError(f"{name} in the pack {folder} cannot be reached ({error}); {_AGAIN}") from None
    if not resolved.is_relative_to(_boundary(folder.resolve())):
        raise PackError(f"{name} in the pack {folder} is a link that leaves the pack's folder; do not use this pack")
    if not stat.S_ISREG(info.st_mode):
        raise PackError(f"{name} in the pack {folder} is not a regular file; {_AGAIN}")
    limit = size_limit(name)
    try:
        with resolved.open("rb") as stream:
            # Python makes room for all that is asked for: 64 MiB for a pack of a few KB, were it the limit.
            data = stream.read(info.st_size + 1) if info.st_size <= limit else None
    except OSError as error:
        raise PackError(f"{name} in the pack {folder} cannot be read ({error.strerror}); check the disk") from None
    if data is None or len(data) > limit:
        size = max(info.st_size, limit + 1)
        raise PackError(f"{name} in the pack {folder} has {size} bytes, more than the {limit} allowed; {_AGAIN}")
    return data


def read_signature(folder: Path) -> bytes | None:
    """The bytes of the signature that lies beside a pack, or None. Raises PackError as :func:`read_member`."""
    if not (folder / SIGNATURE_FILE).exists():
        return None
    return read_member(folder, SIGNATURE_FILE)


def check_sizes(sizes: Mapping[str, int], where: str) -> None:
    """Refuse files too large or too many for a pack before any of them is fetched. Raises PackError."""
    for name, size in sizes.items():
        if size > size_limit(name):
            raise PackError(
                f"{name} in {where} has {size} bytes, more than the {size_limit(name)} allowed; nothing was fetched"
            )
    if len(sizes) > MAX_FILES + 2 or sum(sizes.values()) > TOTAL_LIMIT:
        raise PackError(
            f"{where} has {len(sizes)} files of {sum(sizes.values())} bytes in all, more than the {MAX_FILES} files or "
            f"{TOTAL_LIMIT} bytes allowed; nothing was fetched"
        )


def unlisted(folder: Path, listed: set[str]) -> list[str]:
    """Files that lie in the folder beside the pack's own; they are never opened."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            (path.is_symlink() or not path.is_dir())
            and name not in listed
            and name not in (CONFIG_FILE, SIGNATURE_FILE)
        ):
            found.append(name)
    return found


def _boundary(folder: Path) -> Path:
    # The Hub client keeps a snapshot as links into <repository>/blobs, two floors up.
    if folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir():
        return folder.parent.parent
    return folder
