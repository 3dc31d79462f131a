"""The record of one version in a folder registry: which files, when, why, on top of what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import strict_json
from .layout import CONFIG_FILE, SIGNATURE_FILE, check_member
from .schema import SHA256
from .store import REVISION


@dataclass(frozen=True)
class Record:
    """One version of a pack, as its JSON file says it."""

    version: int
    revision: str
    digest: str
    name: str
    base_model: str
    files: dict[str, dict[str, Any]]
    parent: str | None
    message: str
    date: str
    ras_ext_version: str

    @property
    def signed(self) -> bool:
        return SIGNATURE_FILE in self.files


def checked(value: Mapping[str, Any], number: int) -> Record:
    files = {
        _member(name): {"sha256": entry["sha256"], "size": int(entry["size"])} for name, entry in value["files"].items()
    }
    sound = (
        re.fullmatch(SHA256, value["digest"])
        and REVISION.fullmatch(value["revision"])
        and all(re.fullmatch(SHA256, entry["sha256"]) for entry in files.values())
        and value["version"] == number
        and CONFIG_FILE in files
    )
    if not sound:
        raise ValueError("not a version")
    return Record(
        number,
        value["revision"],
        value["digest"],
        str(value["name"])[:96],
        str(value["base_model"])[:400],
        files,
        value["parent"] if value["parent"] is None else str(value["parent"]),
        str(value["message"])[:2000],
        str(value["date"])[:40],
        str(value["ras_ext_version"])[:60],
    )


def revision_of(hashes: Mapping[str, str]) -> str:
    """Forty digits that stand for all files of a state, signature included."""
    return hashlib.sha256(strict_json.canonical(dict(hashes))).hexdigest()[:40]


def _member(name: str) -> str:
    """A file that a version may list: the config, the signature, or a member of a pack. Raises PackError."""
    return name if name in (CONFIG_FILE, SIGNATURE_FILE) else check_member(name)
