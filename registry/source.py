"""Which repository of packs is meant: one on the Hub, or one in a folder registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """``repo`` is ``owner/name`` (in a folder registry also ``name``); ``url`` is the registry's, None for the Hub."""

    repo: str
    url: str | None = None

    @property
    def key(self) -> str:
        """A folder name of its own."""
        place = "hub" if self.url is None else "folder-" + hashlib.sha256(self.url.encode()).hexdigest()[:12]
        return f"{place}--{self.repo.replace('/', '--')}"

    @property
    def namespace(self) -> str:
        """The owner that a trust file names; empty where there is none."""
        return self.repo.rpartition("/")[0].partition("/")[0]

    def __str__(self) -> str:
        return self.repo if self.url is None else f"{self.url.rstrip('/')}/{self.repo}"
