"""From a name to a checked pack: what lies on this machine first, the network only if it must be.

A name that was once fetched means those bytes until ``refresh`` (or `ras-ext pull`) asks anew. Order: lock file,
folder or built-in pack, the pack made here under that name, the verified copies, the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import PackError, PackMismatchError, PackNotFoundError
from .home import home, offline
from .layout import read_signature
from .lock import LOCK_VARIABLE, Locked, locked_as
from .names import BUILTIN, Reference, advice_for, local_name, parse
from .notices import say_once
from .pack import Pack, read_pack
from .source import Source
from .store import REVISION, Store
from .trust import Requirement, requirement_for

MADE_HERE = "made"


@dataclass(frozen=True)
class Opened:
    """A checked pack and where it came from: ``source`` and ``revision`` are None for a folder or a built-in pack."""

    pack: Pack
    source: Source | None = None
    revision: str | None = None


def locate(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    registry: str | os.PathLike[str] | None = None,
    lock: str | os.PathLike[str] | None = None,
    refresh: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    require_signature: bool = False,
    trusted_keys: Sequence[str | os.PathLike[str]] = (),
    trust: str | os.PathLike[str] | None = None,
    for_this_model: Callable[[Pack], bool] | None = None,
) -> Opened:
    """The pack under a name, checked, and where it came from.

    ``refresh`` asks where it comes from for a newer state; ``local_files_only`` never does. ``lock`` (default
    RAS_EXT_LOCK) names a lock file that decides. ``trusted_keys`` (paths or PEM) or the trust file say whose signature
    is needed. ``for_this_model`` picks among the packs made here under the name.

    Raises PackNotFoundError, PackError, SignatureError, PackMismatchError or RegistryError.
    """
    text = os.fspath(name)
    lock = lock or os.environ.get(LOCK_VARIABLE) or None
    pinned = locked_as(text, lock) if lock else None
    reference = _locked_reference(text, pinned, registry, revision) if pinned else parse(name, revision, registry)
    source = reference.source

    def requirement(quiet: bool = False) -> Requirement:
        namespace = source.namespace if source else ""
        whose = str(source) if source else text
        return requirement_for(
            namespace, whose, require_signature=require_signature, trusted_keys=trusted_keys, trust=trust, quiet=quiet
        )

    if source is None:
        assert reference.folder is not None
        opened = Opened(_from_folder(reference.folder, requirement(quiet=True), builtin=text.startswith(BUILTIN)))
    else:
        needed = requirement()
        store = Store(home(cache_dir) / "packs")
        made = None
        if not refresh and not pinned and not needed.required and reference.revision is None:
            made = made_here(text, cache_dir, for_this_model)
        opened = made or _from_source(
            reference, source, store, needed, refresh, local_files_only or offline(), token, cache_dir
        )
    _keeps_its_promises(reference, opened.pack)
    return opened


def open_pack(name: str | os.PathLike[str], **options: Any) -> Pack:
    """The pack under a name, checked; options and errors as :func:`locate`."""
    return locate(name, **options).pack


def made_here(
    name: str,
    cache_dir: str | os.PathLike[str] | None = None,
    for_this_model: Callable[[Pack], bool] | None = None,
) -> Opened | None:
    """The newest pack that was calibrated on this machine under ``name`` (and fits), if any; says so."""
    root = home(cache_dir) / MADE_HERE
    kept = local_name(name)
    if not (root / kept / "versions").is_dir():
        return None  # before the file systems are loaded: nearly every name
    from .folder import FolderRegistry

    registry = FolderRegistry(root)
    for record in reversed(registry.records(kept)):
        pack = read_pack(root / kept / "packs" / record.revision)
        if for_this_model is None or for_this_model(pack):
            say_once(f"{name} is the pack that was calibrated on this machine ({pack.path})")
            return Opened(pack, Source(kept, registry.url), record.revision)
    return None


def keep_made_here(pack: Pack, name: str, cache_dir: str | os.PathLike[str] | None = None) -> Pack:
    """Keep a pack that was calibrated here, so that ``name`` leads to it on this machine."""
    from .folder import FolderRegistry

    root, kept = home(cache_dir) / MADE_HERE, local_name(name)
    registry = FolderRegistry(root)
    published = registry.push(pack, pack.members, kept, message=f"Calibrated here as {name}")
    return pack.at(root / kept / "packs" / str(published.revision))


def _from_source(
    reference: Reference,
    source: Source,
    store: Store,
    needed: Requirement,
    refresh: bool,
    alone: bool,
    token: str | bool | None,
    cache_dir: str | os.PathLike[str] | None,
) -> Opened:
    revision = reference.revision
    if not refresh or (revision is not None and REVISION.fullmatch(revision)):
        kept = store.recall(source, revision, needed, alone=alone)
        if kept is not None:
            return Opened(kept, source, kept.path.name)
    if source.url is not None:
        from .folder import FolderRegistry

        registry = FolderRegistry(source.url)
        registry.must_exist()
        pack = registry.fetch(source.repo, revision, store, needed)
        return Opened(pack, source, pack.path.name)
    from .hub import from_cache, from_hub, hub_cache_of

    cache = hub_cache_of(cache_dir)
    advice = advice_for(reference)
    if alone or (revision is not None and REVISION.fullmatch(revision)):
        found = from_cache(store, source, revision, needed, cache)
        if found is not None:
            return Opened(found, source, found.path.name)
    if alone:
        shown = f"{source}@{revision}" if revision else str(source)
        raise PackNotFoundError(
            f"the pack {shown} is not on this machine and the Hub was not asked (offline); "
            f"fetch it where there is a network (`ras-ext pull {source}`); {advice}"
        )
    pack = from_hub(store, source, revision, needed, token=token, cache_dir=cache, advice=advice)
    return Opened(pack, source, pack.path.name)


def _from_folder(folder: Path, needed: Requirement, builtin: bool) -> Pack:
    pack = read_pack(folder)
    if needed.required and not builtin:  # what came with the package is as trusted as the package
        needed.check(pack, read_signature(folder))
    return pack


def _locked_reference(
    text: str, pinned: Locked, registry: str | os.PathLike[str] | None, revision: str | None
) -> Reference:
    if revision is not None and revision != pinned.revision:
        raise PackNotFoundError(
            f"the lock file holds {text!r} at {pinned.revision}, but {revision} was asked for; drop one"
        )
    if pinned.source is None:
        return replace(parse(text, None, registry), digest=pinned.digest)
    return Reference(text, None, pinned.source, pinned.revision, digest=pinned.digest)


def _keeps_its_promises(reference: Reference, pack: Pack) -> None:
    if reference.digest is not None and pack.digest != reference.digest:
        raise PackError(
            f"{reference.name!r} is pinned to the pack with digest {reference.digest[:12]}…, but {pack.path} has "
            f"{pack.digest[:12]}…; do not use it, or pin the name anew"
        )
    base = pack.config["base_model"]
    if reference.base_model is not None and base["revision"] is not None and base["id"] != reference.base_model:
        raise PackMismatchError(
            f"{reference.name!r} stands for vectors of {reference.base_model}, but {pack.path} holds those of "
            f"{base['id']}; do not use it",
            ("id",),
        )
