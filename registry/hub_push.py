"""Publishing a pack on the Hub: one atomic commit on a known parent, then a tag ``v1``, ``v2``, ….

Interrupted anywhere, the repository holds the old pack or the new one, and pushing again finishes what was begun: a
commit that has arrived is recognised by its files, a missing tag is added.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import PackNotFoundError, RegistryError
from .hub import is_ours
from .hub_client import asked, client, status_of
from .layout import CONFIG_FILE
from .pack import Pack
from .versions import Published, version_number

_HARMLESS = {".gitattributes", ".gitignore", "LICENSE"}  # what a repository can be born with
RACES = 12  # how often another publisher may be quicker before this one gives up


def push_to_hub(
    pack: Pack,
    members: Mapping[str, bytes],
    repo: str,
    *,
    branch: str | None = None,
    message: str | None = None,
    token: str | bool | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    parent_commit: str | None = None,
    tag: bool = True,
    dry_run: bool = False,
) -> Published:
    """Put ``members`` (the files of ``pack``, and its signature) into the model repository ``repo``, made if need be.

    A repository that holds something else than a pack, such as a model's weights, is left alone.
    With ``parent_commit`` the push is refused if the branch has moved past it; without, a push that meets another
    follows it, so that both are in the history. ``create_pr`` opens a pull request and sets no tag.

    Raises RegistryError.
    """
    api = client(token)
    what = f"the push to {repo}"
    title = message or pack.title

    def done(**facts: Any) -> Published:
        return Published(
            name=repo,
            source="hub",
            digest=pack.digest,
            files={name: len(data) for name, data in members.items()},
            signed=len(members) > len(pack.members),
            private=private,
            dry_run=dry_run,
            **facts,
        )

    wants_tag = tag and not create_pr
    if dry_run:
        head = _head(api, repo, branch, what)
        _check_place(head, repo)
        removed = _stale(head, members) if head else ()
        same = head is not None and _same(head, members)
        return done(
            url=None if head is None else f"{api.endpoint}/{repo}",
            revision=head.sha if same else None,
            tag=_next_tag(asked(what, lambda: api.list_repo_refs(repo)).tags if head else ()) if wants_tag else None,
            removed=removed,
            created=head is None,
            unchanged=same,
        )
    before = _head(api, repo, None, what)
    _check_place(before, repo)
    created = before is None
    asked(what, lambda: api.create_repo(repo, private=private, exist_ok=True))
    if branch is not None and branch != "main" and not create_pr:
        asked(what, lambda: api.create_branch(repo, branch=branch, exist_ok=True))
    for race in range(RACES):
        head = _head(api, repo, branch, what)
        if head is None:
            raise RegistryError(f"{what}: the repository was made and is not there; try again, or check the token")
        if _same(head, members):
            tagged = _tag(api, repo, head.sha, what) if wants_tag else None
            url = f"{api.endpoint}/{repo}/commit/{head.sha}"
            return done(url=url, revision=head.sha, tag=tagged, created=created, unchanged=race == 0)
        if parent_commit is not None and head.sha != parent_commit:
            raise RegistryError(
                f"{repo} has moved on to {head.sha[:12]} from the parent given, {parent_commit[:12]}; "
                "look at what came (`ras-ext history`), then push on top of it"
            )
        removed = _stale(head, members)
        try:
            commit = _commit(api, what, repo, members, removed, head.sha, branch, title, create_pr)
        except RegistryError as error:
            # 412: somebody else was quicker. No status: the answer was lost, and the next look shows if it arrived.
            lost = status_of(error.__cause__) if error.__cause__ else None
            if (lost == 412 and parent_commit is None) or (lost is None and race < 3) or lost in (500, 502, 503, 504):
                time.sleep(0.05 * (race + 1) * (1.0 + random.random()))
                continue
            raise
        tagged = _tag(api, repo, commit.oid, what) if wants_tag else None
        return done(
            url=str(commit.commit_url),
            revision=commit.oid,
            tag=tagged,
            removed=removed,
            created=created,
            pull_request=commit.pr_url,
        )
    raise RegistryError(f"{what} met another push {RACES} times; try again when it is quieter")


def _check_place(head: Any, repo: str) -> None:
    """Raises RegistryError for a repository of something else: its card would be replaced by the pack's."""
    names = {entry.rfilename for entry in head.siblings or ()} if head else set()
    others = sorted(name for name in names if not is_ours(name) and name not in _HARMLESS)
    if others and CONFIG_FILE not in names:
        raise RegistryError(
            f"{repo} holds something else than a pack ({', '.join(others[:3])}), whose card a push would replace; "
            "name a repository of its own for the pack"
        )


def _commit(
    api: Any,
    what: str,
    repo: str,
    members: Mapping[str, bytes],
    removed: tuple[str, ...],
    parent: str,
    branch: str | None,
    title: str,
    create_pr: bool,
) -> Any:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [CommitOperationAdd(name, data) for name, data in sorted(members.items())]
    operations += [CommitOperationDelete(name) for name in removed]

    def commit() -> Any:
        return api.create_commit(
            repo,
            operations=operations,
            commit_message=title,
            revision=branch,
            create_pr=create_pr,
            parent_commit=parent,
        )

    return asked(what, commit, tries=1)


def _head(api: Any, repo: str, branch: str | None, what: str) -> Any:
    """The repository as it stands, with the sizes and hashes of its files; None if there is none to be seen."""
    try:
        return asked(what, lambda: api.model_info(repo, revision=branch, files_metadata=True))
    except PackNotFoundError:
        # A branch that is yet to be made starts from the default one.
        return None if branch is None else _head(api, repo, None, what)


def _same(head: Any, members: Mapping[str, bytes]) -> bool:
    there = {entry.rfilename: entry for entry in head.siblings or () if is_ours(entry.rfilename)}
    return set(there) == set(members) and all(_is_blob(there[name], data) for name, data in members.items())


def _is_blob(entry: Any, data: bytes) -> bool:
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == hashlib.sha256(data).hexdigest())
    return bool(entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


def _stale(head: Any, members: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple(
        sorted(
            entry.rfilename
            for entry in head.siblings or ()
            if is_ours(entry.rfilename) and entry.rfilename not in members
        )
    )


def _next_tag(tags: Iterable[Any]) -> str:
    return f"v{1 + max((version_number(tag.name) for tag in tags), default=0)}"


def _tag(api: Any, repo: str, commit: str, what: str) -> str:
    """The version tag of a commit: the one it has, else the next free one."""
    for race in range(RACES):
        refs = asked(what, lambda: api.list_repo_refs(repo))
        own = [tag.name for tag in refs.tags if tag.target_commit == commit and version_number(tag.name)]
        if own:
            return max(own, key=version_number)
        name = _next_tag(refs.tags)
        try:
            asked(what, lambda: api.create_tag(repo, tag=name, revision=commit), tries=1)  # noqa: B023
            return name
        except RegistryError as error:
            # 409: another push took the number. No status: the answer was lost, and the next look shows it.
            status = status_of(error.__cause__) if error.__cause__ else None
            if status not in (None, 409, 500, 502, 503, 504):
                raise
            time.sleep(0.05 * (race + 1) * (1.0 + random.random()))
    raise RegistryError(f"{what} arrived as {commit[:12]}, but could not be given a version; push again to add it")
