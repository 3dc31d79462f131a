"""Repositories on disk: blobs by their hash, commits as JSON, references that change in one step.

Killed at any moment, the store holds whole commits only, and every reference points to one of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

LFS_FROM = 1024 * 1024  # bytes from which a file is kept beside git
POINTER_SIZE = 134
_REPO = re.compile(r"[\w][\w.-]{0,95}/[\w][\w.-]{0,95}", re.ASCII)


class Refusal(Exception):  # noqa: N818 - what a server does, not what went wrong in it
    """An answer that is no success: status, the Hub's error code and message."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Blob:
    """A file of a commit: ``oid`` is the git blob's, ``lfs`` the sha256 of what it points to."""

    oid: str
    size: int
    lfs: str | None = None


@dataclass(frozen=True)
class Commit:
    """A whole state of a repository."""

    sha: str
    files: dict[str, Blob]
    parent: str | None
    title: str
    message: str
    author: str
    date: str


class Store:
    """All repositories below one folder; writers take turns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._turn = threading.RLock()
        (root / "lfs").mkdir(parents=True, exist_ok=True)

    def repos(self) -> list[str]:
        return sorted(path.parent.relative_to(self.root / "repos").as_posix() for path in self._all_settings())

    def _all_settings(self) -> list[Path]:
        return list((self.root / "repos").glob("*/*/repo.json"))

    def exists(self, repo: str) -> bool:
        return (self._folder(repo) / "repo.json").exists()

    def settings(self, repo: str) -> dict[str, Any]:
        if not self.exists(repo):
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return json.loads((self._folder(repo) / "repo.json").read_bytes())

    def change_settings(self, repo: str, **changes: Any) -> None:
        with self._turn:
            _write(self._folder(repo) / "repo.json", json.dumps({**self.settings(repo), **changes}).encode())

    def create(self, repo: str, author: str, private: bool) -> None:
        if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
            raise Refusal(400, f"Invalid repo name: {repo}")
        with self._turn:
            if self.exists(repo):
                raise Refusal(409, "You already created this model repo")
            folder = self._folder(repo)
            first = self._write_commit(
                repo, {".gitattributes": b"*.bin filter=lfs\n"}, None, "initial commit", "", author
            )
            _write(folder / "refs" / "heads" / "main", first.sha.encode())
            settings = {"private": private, "gated": False, "created": _now(), "downloads": 0}
            _write(folder / "repo.json", json.dumps(settings).encode())

    def delete(self, repo: str) -> None:
        with self._turn:
            self.settings(repo)
            os.rename(self._folder(repo), self.root / f"deleted-{secrets.token_hex(4)}")

    def refs(self, repo: str, kind: str) -> dict[str, str]:
        """Name → commit of ``heads``, ``tags`` or ``pr``."""
        folder = self._folder(repo) / "refs" / kind
        found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
        return {path.relative_to(folder).as_posix(): path.read_text() for path in found}

    def resolve(self, repo: str, revision: str) -> Commit:
        """The commit that a branch, a tag, ``refs/pr/1`` or a sha means."""
        self.settings(repo)
        refs = {
            **{f"refs/pr/{name}": sha for name, sha in self.refs(repo, "pr").items()},
            **self.refs(repo, "tags"),
            **self.refs(repo, "heads"),
        }
        refs.update({f"refs/heads/{name}": sha for name, sha in self.refs(repo, "heads").items()})
        sha = refs.get(revision, revision)
        path = self._folder(repo) / "commits" / f"{sha}.json"
        if not re.fullmatch(r"[0-9a-f]{40}", sha) or not path.exists():
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        entry = json.loads(path.read_bytes())
        files = {name: Blob(**blob) for name, blob in entry.pop("files").items()}
        return Commit(sha=sha, files=files, **entry)

    def log(self, repo: str, revision: str) -> list[Commit]:
        commits = [self.resolve(repo, revision)]
        while commits[-1].parent is not None:
            commits.append(self.resolve(repo, commits[-1].parent))
        return commits

    def blob(self, repo: str, blob: Blob) -> bytes:
        path = self.root / "lfs" / blob.lfs if blob.lfs else self._folder(repo) / "objects" / blob.oid
        return path.read_bytes()

    def commit(
        self,
        repo: str,
        revision: str,
        add: dict[str, bytes],
        lfs: dict[str, str],
        remove: list[str],
        *,
        title: str,
        message: str,
        author: str,
        parent: str | None,
        pull_request: bool,
    ) -> tuple[Commit, int | None]:
        """A new commit on a branch, or on a new pull request, whose number comes with it."""
        with self._turn:
            head = self.resolve(repo, revision)
            if not pull_request and revision not in self.refs(repo, "heads"):
                raise Refusal(400, f"{revision} is no branch")
            if parent is not None and parent != head.sha:
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            kept = {name: blob for name, blob in head.files.items() if name not in remove}
            absent = [name for name in remove if name not in head.files]
            if absent:
                raise Refusal(404, f"A file with this name doesn't exist: {absent[0]}", "EntryNotFound")
            for name, oid in lfs.items():
                stored = self.root / "lfs" / oid
                if not stored.exists():
                    raise Refusal(422, f"LFS object {oid} of {name} was not uploaded")
                pointer = (
                    f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {stored.stat().st_size}\n"
                )
                kept[name] = Blob(git_oid(pointer.encode()), stored.stat().st_size, oid)
            made = self._write_commit(repo, add, head.sha, title, message, author, kept)
            if pull_request:
                number = 1 + len(self.refs(repo, "pr"))
                _write(self._folder(repo) / "refs" / "pr" / str(number), made.sha.encode())
                return made, number
            _write(self._folder(repo) / "refs" / "heads" / revision, made.sha.encode())
            return made, None

    def tag(self, repo: str, name: str, revision: str) -> None:
        with self._turn:
            if name in self.refs(repo, "tags"):
                raise Refusal(409, f"Tag {name} already exists")
            _write(self._folder(repo) / "refs" / "tags" / name, self.resolve(repo, revision).sha.encode())

    def branch(self, repo: str, name: str, revision: str) -> None:
        with self._turn:
            if name in self.refs(repo, "heads"):
                raise Refusal(409, f"Reference {name} already exists")
            _write(self._folder(repo) / "refs" / "heads" / name, self.resolve(repo, revision).sha.encode())

    def put_lfs(self, oid: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != oid:
            raise Refusal(400, "the content does not have the sha256 it was announced with")
        _write(self.root / "lfs" / oid, data)

    def has_lfs(self, oid: str) -> bool:
        return (self.root / "lfs" / oid).exists()

    def _folder(self, repo: str) -> Path:
        return self.root / "repos" / repo

    def _write_commit(
        self,
        repo: str,
        add: dict[str, bytes],
        parent: str | None,
        title: str,
        message: str,
        author: str,
        kept: dict[str, Blob] | None = None,
    ) -> Commit:
        files = dict(kept or {})
        for name, data in add.items():
            files[name] = Blob(git_oid(data), len(data))
            _write(self._folder(repo) / "objects" / files[name].oid, data)
        facts = {"parent": parent, "title": title, "message": message, "author": author, "date": _now()}
        entry = {**facts, "files": {name: vars(files[name]) for name in sorted(files)}}
        raw = json.dumps(entry, indent=1).encode()
        sha = hashlib.sha1(raw + secrets.token_bytes(8)).hexdigest()
        _write(self._folder(repo) / "commits" / f"{sha}.json", raw)
        return Commit(sha=sha, files=files, **facts)


def git_oid(data: bytes) -> str:
    """The hash that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with draft.open("wb") as stream:
        stream.write(data)
    os.replace(draft, path)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
