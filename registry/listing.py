"""What packs there are: in the installed package, made here, fetched here, or in a folder registry.

Reads one JSON file a pack and imports neither the Hub's client nor numpy, so that a listing is quick.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import PackError, PackNotFoundError
from .home import home
from .layout import CONFIG_FILE, SIGNATURE_FILE, read_member
from .names import BUILTIN, builtin_names, builtin_root, parse, registry_in_force
from .resolve import MADE_HERE
from .schema import load_config
from .store import Store
from .versions import Found, Version


def list_packs(
    where: str | os.PathLike[str] | None = None, *, cache_dir: str | os.PathLike[str] | None = None
) -> list[Found]:
    """The packs on this machine, or those of the folder registry ``where``. Raises RegistryError if it is none."""
    if where is not None:
        from .folder import FolderRegistry

        registry = FolderRegistry(where)
        registry.must_exist()
        return registry.packs()
    return _builtin() + _made_here(cache_dir) + _fetched(cache_dir)


def search(
    query: str | None = None,
    *,
    base_model: str | None = None,
    owner: str | None = None,
    tags: Sequence[str] = (),
    limit: int = 50,
    registry: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
) -> list[Found]:
    """Packs on the Hub, or in the folder registry ``registry`` (default RAS_EXT_REGISTRY), that fit.

    ``query`` is a part of the name, ``base_model`` the Hub id of the model they were made for, ``tags`` are those of
    the Hub (``license:mit``), in a folder registry the newest version. Raises RegistryError.
    """
    registry = registry_in_force(registry)
    if registry is None:
        from .hub import hub_packs

        return hub_packs(query=query, base_model=base_model, owner=owner, tags=tags, limit=limit, token=token)
    fitting = [
        entry
        for entry in list_packs(registry)
        if (query or "").lower() in entry.name.lower()
        and base_model in (None, entry.base_model)
        and (owner is None or entry.name.startswith(owner + "/"))
        and set(tags) <= set(entry.tags)
    ]
    return fitting[:limit]


def history(
    name: str, *, registry: str | os.PathLike[str] | None = None, token: str | bool | None = None
) -> list[Version]:
    """The states of a pack's repository, newest first. Raises PackNotFoundError or RegistryError."""
    source = parse(name, None, registry).source
    if source is None:
        raise PackNotFoundError(f"{name} is a folder on this machine and has no history; name a repository")
    if source.url is None:
        from .hub import hub_history

        return hub_history(source, token=token)
    from .folder import FolderRegistry

    return FolderRegistry(source.url).history(source.repo)


def _builtin() -> list[Found]:
    found = (_found(BUILTIN + name, "builtin", builtin_root() / name / "pack") for name in builtin_names())
    return [entry for entry in found if entry is not None]


def _made_here(cache_dir: str | os.PathLike[str] | None) -> list[Found]:
    if not (home(cache_dir) / MADE_HERE).is_dir():
        return []
    from .folder import FolderRegistry

    root = home(cache_dir) / MADE_HERE
    return [
        Found(
            **{
                **entry.__dict__,
                "source": "made here",
                "path": str(root / entry.name / "packs" / str(entry.revision)),
            }
        )
        for entry in FolderRegistry(root).packs()
    ]


def _fetched(cache_dir: str | os.PathLike[str] | None) -> list[Found]:
    found = []
    for source, folder, refs in Store(home(cache_dir) / "packs").copies():
        entry = _found(source.repo, source.url or "hub", folder, folder.name, tuple(refs))
        if entry is not None:
            found.append(entry)
    return found


def _found(
    name: str, source: str, folder: Path, revision: str | None = None, tags: tuple[str, ...] = ()
) -> Found | None:
    try:
        raw = read_member(folder, CONFIG_FILE)
        config = load_config(raw)
    except PackError:
        return None
    return Found(
        name=name,
        base_model=config["base_model"]["id"],
        revision=revision,
        tags=tags,
        date=config["calibration"].get("date"),
        digest=hashlib.sha256(raw).hexdigest(),
        signed=(folder / SIGNATURE_FILE).exists(),
        source=source,
        path=str(folder),
    )
