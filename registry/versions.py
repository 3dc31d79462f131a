"""What there is to say of packs that are not open: one found somewhere, one state in a history, one just pushed."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Found:
    """A pack that a search or a listing turned up; ``None`` where the place does not say."""

    name: str
    base_model: str | None = None
    revision: str | None = None
    tags: tuple[str, ...] = ()
    date: str | None = None
    digest: str | None = None
    signed: bool | None = None
    downloads: int | None = None
    private: bool = False
    source: str = "hub"
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "tags": list(self.tags)}


@dataclass(frozen=True)
class Version:
    """One state of a pack's repository; ``tags`` such as ``v2`` lead to it."""

    revision: str
    tags: tuple[str, ...]
    title: str
    date: str | None = None
    authors: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "tags": list(self.tags), "authors": list(self.authors)}


@dataclass(frozen=True)
class Published:
    """What a push did, or (``dry_run``) would do: ``files`` with their bytes, ``removed`` older ones of the pack.

    ``unchanged`` says that the place held exactly these files already; ``revision`` and ``tag`` are then theirs.
    """

    name: str
    source: str
    url: str | None
    revision: str | None
    tag: str | None
    digest: str
    files: dict[str, int]
    removed: tuple[str, ...] = ()
    created: bool = False
    unchanged: bool = False
    signed: bool = False
    private: bool | None = None
    pull_request: str | None = None
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "removed": list(self.removed)}


def version_number(tag: str) -> int:
    """3 for ``v3``; 0 for any other tag."""
    match = re.fullmatch(r"v([1-9][0-9]{0,8})", tag)
    return int(match[1]) if match else 0
