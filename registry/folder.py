"""A registry in a directory or at any fsspec URL (``file://``, ``s3://``, …), for teams without the Hub.

    <root>/ras_registry.json                      what marks a registry
    <root>/<name>/packs/<revision>/…              the files of one state, named after their hash; never changed
    <root>/<name>/versions/000001.json            version 1: which revision, when, why, its parent

A version exists when its record does, and a record is made only where there is none: two who push at once get two
versions, and whoever is interrupted leaves the last one standing.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import strict_json
from .address import MARKER, NAME, normal_url
from .errors import MissingExtraError, PackError, PackNotFoundError, RegistryError, in_one_line
from .layout import MIB, SIGNATURE_FILE, check_sizes, size_limit
from .pack import Pack
from .record import Record, checked, revision_of
from .schema import installed_version
from .source import Source
from .store import Store
from .swap import drafted, fill, staged
from .trust import Requirement
from .versions import Found, Published, Version

RACES = 50


class FolderRegistry:
    """The registry at ``url``: a directory or an fsspec URL; extra keyword arguments go to its file system."""

    def __init__(self, url: str | os.PathLike[str], **options: Any) -> None:
        import fsspec

        self.url = normal_url(url)
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            raise MissingExtraError(f"{self.url} needs a package that is missing ({error}); install it") from None
        except Exception as error:
            raise RegistryError(f"{self.url} cannot be opened ({in_one_line(error)[:300]}); check the URL") from None
        self._local = "file" in _protocols(self._fs)

    def exists(self) -> bool:
        """True if there is a registry here."""
        return self._there(self._path(MARKER))

    def must_exist(self) -> None:
        """Raises RegistryError unless there is a registry here."""
        if not self.exists():
            raise RegistryError(f"there is no registry at {self.url}; push a pack there first, or check the address")

    def names(self) -> list[str]:
        """The names of all packs here."""
        found = set()
        for path in self._ask(lambda: self._fs.glob(self._path("**/versions/*.json"))):
            name = str(path)[len(self._root.rstrip("/")) + 1 :].rpartition("/versions/")[0]
            if NAME.fullmatch(name):
                found.add(name)
        return sorted(found)

    def records(self, name: str) -> list[Record]:
        """All versions of a pack, oldest first; empty if there is no such pack."""
        found = (self._record(name, number) for number in self._numbers(name))
        return [record for record in found if record is not None]

    def unreadable(self, name: str) -> list[int]:
        """The numbers of versions whose records are no records, such as one that was cut short."""
        return [number for number in self._numbers(name) if self._record(name, number) is None]

    def find(self, name: str, revision: str | None) -> Record:
        """The version that ``revision`` means (``None``: the last; ``v3``; 40 digits). Raises PackNotFoundError."""
        records = self.records(name)
        if not records:
            known = ", ".join(self.names()[:8]) or "none"
            raise PackNotFoundError(f"the registry {self.url} holds no pack {name}; it holds: {known}")
        if revision in (None, "main"):
            return records[-1]
        for record in reversed(records):
            if revision in (record.revision, f"v{record.version}"):
                return record
        raise PackNotFoundError(
            f"{name} in {self.url} has no revision {revision!r}; it has v1 to v{records[-1].version}"
        )

    def fetch(self, name: str, revision: str | None, store: Store, requirement: Requirement) -> Pack:
        """Bring a pack into ``store``: sizes first, then the files, then every check. Raises PackError and its kind."""
        record = self.find(name, revision)
        source = Source(name, self.url)
        base = self._path(name, "packs", record.revision)
        sizes = {}
        for member in record.files:
            try:
                sizes[member] = int(self._fs.size(f"{base}/{member}") or 0)
            except FileNotFoundError:
                raise PackError(f"{name} in {self.url} lacks {member}, which its v{record.version} lists") from None
            except Exception as error:
                raise self._failed(error) from error
        check_sizes(sizes, f"{self.url}/{name}")
        pack = store.recall(source, record.revision, requirement)
        if pack is None:
            members = {name: self._read(f"{base}/{name}", size_limit(name)) for name in _progress(record.files)}
            if revision_of(_hashes(members)) != record.revision:
                raise PackError(f"{name} in {self.url} was changed after it was pushed; do not use this pack")
            with tempfile.TemporaryDirectory() as scratch:
                fill(Path(scratch), members)
                pack = store.admit(Path(scratch), source, record.revision, requirement)
        if pack.digest != record.digest:
            raise PackError(f"{name} in {self.url} is not the pack that its v{record.version} names; do not use it")
        store.point(source, revision, record.revision, pack.digest)
        return pack

    def push(
        self,
        pack: Pack,
        members: Mapping[str, bytes],
        name: str,
        *,
        message: str | None = None,
        parent_commit: str | None = None,
        dry_run: bool = False,
    ) -> Published:
        """Add ``members`` (the files of ``pack``, and its signature) as the next version. Raises RegistryError."""
        hashes = _hashes(members)
        revision = revision_of(hashes)
        files = {member: {"sha256": hashes[member], "size": len(members[member])} for member in sorted(members)}
        created = not dry_run and not self.exists()
        if created:
            self._write(self._path(MARKER), strict_json.pretty({"ras_registry": 1}))
        for _ in range(RACES):
            records = self.records(name)
            last = records[-1] if records else None
            unchanged = last is not None and last.revision == revision
            if parent_commit is not None and not unchanged and (last is None or last.revision != parent_commit):
                raise RegistryError(
                    f"{name} in {self.url} has moved on to {last.revision[:12] if last else 'nothing'} from the parent "
                    f"given, {parent_commit[:12]}; look at its history, then push on top of it"
                )
            version = last.version if unchanged and last else self._next(name, records)
            if not unchanged and not dry_run:
                self._place(self._path(name, "packs", revision), members)
                record = {
                    "version": version,
                    "revision": revision,
                    "digest": pack.digest,
                    "name": pack.config["name"],
                    "base_model": pack.config["base_model"]["id"],
                    "files": files,
                    "parent": last.revision if last else None,
                    "message": message or pack.title,
                    "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "ras_ext_version": installed_version(),
                }
                if not self._create(self._path(name, "versions", f"{version:06d}.json"), strict_json.pretty(record)):
                    continue  # another push took the number: look again, come after it
            return Published(
                name=name,
                source=self.url,
                url=f"{self.url}/{name}",
                revision=revision,
                tag=f"v{version}",
                digest=pack.digest,
                files={member: len(data) for member, data in members.items()},
                created=last is None,
                unchanged=unchanged,
                signed=SIGNATURE_FILE in members,
                dry_run=dry_run,
            )
        raise RegistryError(f"the push to {name} in {self.url} met another one {RACES} times; try again later")

    def packs(self) -> list[Found]:
        """The last version of every pack here."""
        found = []
        for name in self.names():
            records = self.records(name)
            if records:
                last = records[-1]
                found.append(
                    Found(
                        name=name,
                        base_model=last.base_model,
                        revision=last.revision,
                        tags=(f"v{last.version}",),
                        date=last.date,
                        digest=last.digest,
                        signed=last.signed,
                        source=self.url,
                    )
                )
        return found

    def history(self, name: str) -> list[Version]:
        """All versions of a pack, newest first. Raises PackNotFoundError."""
        self.find(name, None)
        return [
            Version(record.revision, (f"v{record.version}",), record.message, record.date)
            for record in reversed(self.records(name))
        ]

    def _numbers(self, name: str) -> list[int]:
        self._fs.invalidate_cache()
        try:
            listed = self._fs.ls(self._path(_named(name), "versions"), detail=False)
        except FileNotFoundError:
            return []
        except PackError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        found = (re.fullmatch(r"([0-9]{6,9})\.json", str(path).rpartition("/")[2]) for path in listed)
        return sorted(int(match[1]) for match in found if match)

    def _path(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])

    def _next(self, name: str, records: list[Record]) -> int:
        # A record that cannot be read still has its number.
        number = records[-1].version + 1 if records else 1
        while self._there(self._path(name, "versions", f"{number:06d}.json")):
            number += 1
        return number

    def _there(self, path: str) -> bool:
        return bool(self._ask(lambda: self._fs.exists(path)))

    def _record(self, name: str, number: int) -> Record | None:
        try:
            raw = self._read(self._path(name, "versions", f"{number:06d}.json"), MIB)
            return checked(strict_json.parse(raw, "a version"), number)
        except (PackError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, RegistryError):
                raise
            return None  # a record that was cut short is no version

    def _read(self, path: str, limit: int) -> bytes:
        try:
            with self._fs.open(path, "rb") as stream:
                # Python makes room for all that is asked for; a remote file system does not.
                due = min(limit, os.path.getsize(path)) if self._local else limit
                data = stream.read(due + 1)
        except Exception as error:
            raise self._failed(error) from error
        if len(data) > limit:
            raise PackError(f"{path} has more than the {limit} bytes allowed; it was not read")
        return bytes(data)

    def _place(self, folder: str, members: Mapping[str, bytes]) -> None:
        if self._local:
            target = Path(folder)
            if target.is_dir() and _same_files(target, members):
                return
            try:
                with staged(target) as stage:
                    fill(stage, members)
            except OSError as error:
                raise self._failed(error) from error
            return
        for member, data in members.items():
            self._write(f"{folder}/{member}", data)

    def _write(self, path: str, data: bytes) -> None:
        def write() -> None:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, data)

        self._ask(write)

    def _create(self, path: str, data: bytes) -> bool:
        """Make a file where there is none, whole or not at all; False if there is one."""
        if self._local:
            try:
                with drafted(Path(path), new=True) as draft:
                    draft.write_bytes(data)
            except FileExistsError:
                return False
            except OSError as error:
                raise self._failed(error) from error
            return True
        try:
            self._fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            if (
                "PreconditionFailed" in repr(error)
                or "412" in str(error)
                or "ConditionalRequestConflict" in repr(error)
            ):
                return False
            raise self._failed(error) from error
        return True

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> RegistryError:
        return RegistryError(
            f"the registry {self.url} cannot be used ({in_one_line(error)[:300]}); "
            "check address, rights and space there"
        )


def _named(name: str) -> str:
    if not NAME.fullmatch(name) or "--" in name or ".." in name:
        raise PackNotFoundError(
            f"{name[:120]!r} cannot be a name in a folder registry; use one or two parts of letters, digits, "
            "'.', '_' and '-'"
        )
    return name


def _hashes(members: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}


def _same_files(folder: Path, members: Mapping[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == data for name, data in members.items())
    except OSError:
        return False


def _progress(names: Mapping[str, Any]) -> Any:
    from huggingface_hub.utils import tqdm

    return tqdm(names, desc=f"Fetching {len(names)} files", unit="file", leave=False)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
