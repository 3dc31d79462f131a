"""The lock file: names and the exact bytes they stand for, so that a deployment loads what was tested.

    {"ras_ext_lock": 1, "packs": {"llava-1.5": {"repo", "url", "revision", "digest"}}}

``repo`` is null for a pack that lies in a folder or is built in: only its digest is held then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from . import strict_json
from .errors import PackError, PackNotFoundError
from .fields import Fields
from .layout import MIB
from .paths import expanded
from .schema import SHA256
from .source import Source
from .swap import drafted

LOCK_FILE = "ras.lock.json"
LOCK_VARIABLE = "RAS_EXT_LOCK"
_LOCK_VERSION = 1


@dataclass(frozen=True)
class Locked:
    """The bytes a name stands for: revision (40 digits) in a repository, and the digest of the pack."""

    digest: str
    repo: str | None = None
    url: str | None = None
    revision: str | None = None

    @property
    def source(self) -> Source | None:
        return None if self.repo is None else Source(self.repo, self.url)


def read_lock(path: str | os.PathLike[str]) -> dict[str, Locked]:
    """The entries of a lock file. Raises PackError if it cannot be used."""
    file = expanded(path)
    try:
        with file.open("rb") as stream:
            raw = stream.read(MIB)
    except OSError as error:
        raise PackError(
            f"the lock file {file} cannot be read ({error.strerror}); make it with `ras-ext lock NAME --file {file}`"
        ) from None
    top = Fields(strict_json.parse(raw, f"the lock file {file}"))
    top.integer("ras_ext_lock", _LOCK_VERSION, _LOCK_VERSION)
    packs = top.table("packs")
    top.close()
    entries = {}
    for name in packs.keys():  # noqa: SIM118 - Fields is no mapping
        fields = packs.table(name)
        entries[name] = Locked(
            digest=fields.text("digest", pattern=SHA256, rule="a sha256 in hexadecimal"),
            repo=fields.optional_text("repo", limit=300),
            url=fields.optional_text("url", limit=1000),
            revision=fields.optional_text("revision", pattern=r"[0-9a-f]{40}", rule="null or 40 hexadecimal digits"),
        )
        fields.close()
        if entries[name].repo is not None and entries[name].revision is None:
            raise fields.fail("revision", "40 hexadecimal digits", None)
    return entries


def write_lock(path: str | os.PathLike[str], entries: Mapping[str, Locked]) -> None:
    """Write a lock file whole, names in order. Raises PackError."""
    file = expanded(path)
    value = {"ras_ext_lock": _LOCK_VERSION, "packs": {name: asdict(entries[name]) for name in sorted(entries)}}
    try:
        with drafted(file) as draft:
            draft.write_bytes(strict_json.pretty(value))
    except OSError as error:
        raise PackError(f"the lock file {file} cannot be written ({error.strerror}); name another path") from None


def locked_as(name: str, path: str | os.PathLike[str]) -> Locked:
    """What the lock file says of a name. Raises PackNotFoundError if it says nothing."""
    entries = read_lock(path)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "nothing"
        raise PackNotFoundError(
            f"{name!r} is not in the lock file {os.fspath(path)} (it holds {known}); add it with "
            f"`ras-ext lock {name} --file {os.fspath(path)}`"
        )
    return entries[name]
