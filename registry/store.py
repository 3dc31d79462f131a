"""Verified copies of packs on this machine: what was fetched once is loaded from here, without asking anybody.

<home>/packs/<source>/source.json   the repository, in words
<home>/packs/<source>/<revision>/   a pack, put here whole after every check; never changed afterwards
<home>/packs/<source>/refs/<name>   which revision a branch or tag last led to, and the pack's digest
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from . import strict_json
from .errors import PackError, RegistryError
from .layout import SIGNATURE_FILE, read_signature
from .notices import say_once
from .pack import Pack, check_members, read_members, read_pack
from .source import Source
from .swap import drafted, fill, flush, staged
from .trust import Requirement

REVISION = re.compile(r"[0-9a-f]{40}")
_REFS = "refs"
_SOURCE = "source.json"


@dataclass(frozen=True)
class Kept:
    """A copy on this machine: its folder, the revision it is of, and what a ref says of its digest."""

    folder: Path
    revision: str
    digest: str | None = None


class Store:
    """The copies below ``root`` (``<home>/packs``)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, source: Source, revision: str | None) -> Kept | None:
        """The copy of a revision: of a commit itself, of a branch or tag as it stood when it was last asked for."""
        place = self.root / source.key
        if revision is not None and REVISION.fullmatch(revision):
            return Kept(place / revision, revision) if (place / revision).is_dir() else None
        known = _read_ref(place / _REFS / quote(revision or "main", safe=""))
        return known if known is not None and known.folder.is_dir() else None

    def recall(
        self, source: Source, revision: str | None, requirement: Requirement, *, alone: bool = False
    ) -> Pack | None:
        """The copy of a revision, checked anew, if there is one; a damaged one is forgotten, with a remark.

        Raises SignatureError (``requirement`` not met); PackError for a damaged copy where nobody can be asked for
        another (``alone``).
        """
        kept = self.find(source, revision)
        if kept is None:
            return None
        try:
            pack = read_pack(kept.folder)
            if kept.digest is not None and kept.digest != pack.digest:
                raise PackError(f"the copy of {source} in {kept.folder} is not what was fetched; remove that folder")
        except PackError as error:
            if alone:
                raise
            say_once(f"the copy of {source} on this machine is damaged and is fetched anew ({error})")
            shutil.rmtree(kept.folder, ignore_errors=True)
            return None
        requirement.check(pack, read_signature(kept.folder))
        return pack

    def admit(self, folder: Path, source: Source, revision: str, requirement: Requirement) -> Pack:
        """Check the pack in ``folder`` and keep what was checked; nothing is kept of a pack that is refused.

        Raises PackError (damaged), SignatureError (``requirement`` not met), RegistryError (it cannot be written).
        """
        return self.keep(folder, read_members(folder), read_signature(folder), source, revision, requirement)

    def keep(
        self,
        folder: Path,
        members: Mapping[str, bytes],
        signature: bytes | None,
        source: Source,
        revision: str,
        requirement: Requirement,
    ) -> Pack:
        """As :func:`admit`, with the files of the pack, and its signature, as they were read from ``folder``."""
        kept = members if signature is None else {**members, SIGNATURE_FILE: signature}
        target = self.root / source.key / revision
        try:
            with staged(target) as stage:
                # The disk is slow and so are the checks: both at once. What is refused goes with the stage.
                with ThreadPoolExecutor(1) as beside:
                    written = beside.submit(_write_down, stage, kept)
                    pack = check_members(folder, members)
                    requirement.check(pack, signature)
                written.result()
            _write(target.parent / _SOURCE, {"repo": source.repo, "url": source.url})
        except OSError as error:
            raise RegistryError(
                f"the pack could not be kept in {target.parent} ({error.strerror or error}); make room there or set "
                "RAS_EXT_HOME to another folder"
            ) from error
        return pack.at(target)

    def point(self, source: Source, ref: str | None, revision: str, digest: str) -> None:
        """Remember that a branch or tag (``None``: main) leads to ``revision``."""
        if ref is None or not REVISION.fullmatch(ref):
            when = datetime.now(timezone.utc).isoformat(timespec="seconds")
            path = self.root / source.key / _REFS / quote(ref or "main", safe="")
            _write(path, {"revision": revision, "digest": digest, "when": when})

    def copies(self) -> Iterator[tuple[Source, Path, list[str]]]:
        """Every copy: where it came from, its folder, and the branches and tags that lead to it."""
        for place in sorted(self.root.glob("*--*")):
            said = _read(place / _SOURCE)
            if said is None or not isinstance(said.get("repo"), str):
                continue
            url = said.get("url")
            source = Source(said["repo"], url if isinstance(url, str) else None)
            refs = {unquote(path.name): _read_ref(path) for path in sorted((place / _REFS).glob("[!.]*"))}
            for folder in sorted(place.iterdir()):
                if REVISION.fullmatch(folder.name):
                    names = [name for name, known in refs.items() if known and known.revision == folder.name]
                    yield source, folder, names


def _write_down(stage: Path, kept: Mapping[str, bytes]) -> None:
    fill(stage, kept)
    flush(stage)


def _read_ref(path: Path) -> Kept | None:
    value = _read(path)
    if value is None:
        return None
    revision, digest = value.get("revision"), value.get("digest")
    if not isinstance(revision, str) or not REVISION.fullmatch(revision):
        return None
    folder = path.parent.parent / revision
    return Kept(folder, revision, digest if isinstance(digest, str) else None)


def _read(path: Path) -> dict[str, Any] | None:
    # A damaged note counts as none: what it told is asked for again.
    try:
        with path.open("rb") as stream:
            return strict_json.parse(stream.read(10_000), str(path))
    except (OSError, PackError):
        return None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    with drafted(path) as draft:
        draft.write_bytes(strict_json.pretty(value))
