"""Packs on the Hugging Face Hub, read: which commit a name means, its files, its history, and what else there is.

HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and HF_HOME are honoured, by the Hub's own client.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import PackError, PackNotFoundError
from .hub_client import asked, client
from .layout import CARD_FILE, CONFIG_FILE, EVIDENCE_FOLDER, SIGNATURE_FILE, TENSORS_FILE, check_sizes, read_member
from .pack import Pack
from .schema import load_config
from .source import Source
from .store import REVISION, Store
from .trust import Requirement
from .versions import Found, Version, version_number

PACK_PATTERNS = [CONFIG_FILE, TENSORS_FILE, CARD_FILE, SIGNATURE_FILE, f"{EVIDENCE_FOLDER}/*"]
LIBRARY_TAG = "ras_ext"


def from_cache(
    store: Store, source: Source, revision: str | None, requirement: Requirement, cache_dir: str | None = None
) -> Pack | None:
    """A pack whose files the Hub's client holds already, whoever fetched them, taken into the store; else None."""
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(
            snapshot_download(
                source.repo,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=True,
                allow_patterns=PACK_PATTERNS,
            )
        )
        files = load_config(read_member(folder, CONFIG_FILE))["files"]
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, PackError):
        return None
    # Older clients hand out what an interrupted download left.
    if not REVISION.fullmatch(folder.name) or not all((folder / name).exists() for name in files):
        return None
    pack = store.admit(folder, source, folder.name, requirement)
    store.point(source, revision, folder.name, pack.digest)
    return pack


def from_hub(
    store: Store,
    source: Source,
    revision: str | None,
    requirement: Requirement,
    *,
    token: str | bool | None = None,
    cache_dir: str | None = None,
    advice: str = "",
) -> Pack:
    """Fetch a pack: ask which commit is meant, check the sizes, download, check everything, keep.

    Raises PackNotFoundError, RegistryError, PackError or SignatureError; the store is then as it was.
    """
    from huggingface_hub import snapshot_download

    what = f"the pack {source}@{revision}" if revision else f"the pack {source}"
    missing = "not published, or private and no token was given"
    api = client(token)
    info = asked(
        what,
        lambda: api.model_info(source.repo, revision=revision, files_metadata=True),
        missing=missing,
        advice=advice,
    )
    commit = str(info.sha)
    files = {entry.rfilename: entry.size or 0 for entry in info.siblings or () if is_ours(entry.rfilename)}
    if CONFIG_FILE not in files:
        raise PackNotFoundError(f"the Hub repository {source} is no pack: it holds no {CONFIG_FILE}; {advice}")
    check_sizes(files, f"the Hub repository {source}")

    def download(force: bool) -> Path:
        def fetch() -> Path:
            folder = snapshot_download(
                source.repo,
                revision=commit,
                token=token,
                cache_dir=cache_dir,
                allow_patterns=sorted(files),
                force_download=force,
                library_name="ras_ext",
            )
            return Path(folder)

        # The client tries a file five times itself and goes on where it stopped.
        return asked(what, fetch, missing=missing, advice=advice, tries=2)

    pack = store.recall(source, commit, requirement)
    try:
        pack = pack or store.admit(download(force=False), source, commit, requirement)
    except PackError as error:
        if type(error) is not PackError:
            raise
        # The damage may be of this machine's cache: once more from the source before the pack is refused.
        pack = store.admit(download(force=True), source, commit, requirement)
    store.point(source, revision, commit, pack.digest)
    return pack


def hub_packs(
    *,
    query: str | None = None,
    base_model: str | None = None,
    owner: str | None = None,
    tags: Sequence[str] = (),
    limit: int = 50,
    token: str | bool | None = None,
) -> list[Found]:
    """Packs on the Hub by words in their name, base model (a Hub id), owner and tags. Raises RegistryError."""
    tags = [LIBRARY_TAG, *tags] + ([f"base_model:{base_model}"] if base_model else [])
    api = client(token)
    models = asked(
        "the list of packs",
        lambda: list(api.list_models(filter=tags, search=query, author=owner, limit=limit, full=True)),
    )
    return [
        Found(
            name=model.id,
            base_model=_base_model(model.tags or ()),
            revision=model.sha,
            date=model.last_modified.isoformat(timespec="seconds") if model.last_modified else None,
            downloads=model.downloads,
            private=bool(model.private),
        )
        for model in models
    ]


def hub_history(source: Source, *, token: str | bool | None = None) -> list[Version]:
    """The commits of a pack's repository, newest first, with the tags on them. Raises as :func:`from_hub`."""
    api = client(token)
    what = f"the history of {source}"
    commits = asked(what, lambda: list(api.list_repo_commits(source.repo)))
    refs = asked(what, lambda: api.list_repo_refs(source.repo))
    tags: dict[str, list[str]] = {}
    for tag in refs.tags:
        tags.setdefault(tag.target_commit, []).append(tag.name)
    return [
        Version(
            revision=commit.commit_id,
            tags=tuple(sorted(tags.get(commit.commit_id, ()), key=version_number)),
            title=commit.title,
            date=commit.created_at.isoformat(timespec="seconds"),
            authors=tuple(commit.authors),
        )
        for commit in commits
    ]


def hub_cache_of(cache_dir: str | os.PathLike[str] | None) -> str | None:
    """The folder of the Hub's client, as it takes it; None leaves it to HF_HOME."""
    return None if cache_dir is None else str(Path(cache_dir).expanduser())


def is_ours(name: str) -> bool:
    """True for a file that a pack's repository has for the pack: config, tensors, card, signature, evidence."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in PACK_PATTERNS)


def _base_model(tags: Iterable[str]) -> str | None:
    named = (re.fullmatch(r"base_model:(?:[a-z]+:)?([^:/]+/[^:/]+)", tag) for tag in tags)
    return next((match[1] for match in named if match), None)
