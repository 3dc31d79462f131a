"""Publishing in one call, to the Hub or a folder registry; and bringing a pack into a folder of one's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .errors import PackError, RegistryError
from .home import home
from .layout import SIGNATURE_FILE, read_signature
from .names import registry_in_force
from .pack import Pack, read_pack
from .resolve import Opened, locate
from .source import Source
from .store import Store
from .swap import check_target, staged
from .trust import Requirement, sign

if TYPE_CHECKING:
    from .versions import Published


def push(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    registry: str | os.PathLike[str] | None = None,
    message: str | None = None,
    token: str | bool | None = None,
    private: bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    parent_commit: str | None = None,
    tag: bool = True,
    sign_key: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Published:
    """Check the pack in ``folder`` and publish it as ``target``: ``owner/name`` on the Hub, or in a folder registry.

    A folder registry is a directory or an fsspec URL, alone (the pack's own name is taken) or with ``/owner/name``
    behind it; under ``registry`` (default RAS_EXT_REGISTRY) ``owner/name`` means one there. ``sign_key`` signs it.
    Raises PackError for a damaged pack, RegistryError or SignatureError otherwise; what stood there then stays.
    """
    pack = read_pack(folder)
    signature = sign(pack, sign_key) if sign_key is not None else read_signature(pack.path)
    members = {**pack.members, **({} if signature is None else {SIGNATURE_FILE: signature})}
    source = target_of(target, pack.config["name"], registry)
    if source.url is not None:
        if create_pr or branch is not None or private:
            raise RegistryError(
                f"{source} is a folder registry, which has no branches, pull requests or privacy; leave these out"
            )
        from .folder import FolderRegistry

        published = FolderRegistry(source.url).push(
            pack, members, source.repo, message=message, parent_commit=parent_commit, dry_run=dry_run
        )
    else:
        from .hub_push import push_to_hub

        published = push_to_hub(
            pack,
            members,
            source.repo,
            branch=branch,
            message=message,
            token=token,
            private=private,
            create_pr=create_pr,
            parent_commit=parent_commit,
            tag=tag,
            dry_run=dry_run,
        )
    if not dry_run and not create_pr and published.revision is not None:
        _remember(pack, signature, source, published, branch, cache_dir)
    return published


def pull(name: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, **options: Any) -> Opened:
    """Fetch the newest state of a pack (options as :func:`locate`), and write it to the folder ``out`` if one is given.

    The folder holds the old pack or the new one, whatever happens. Raises as :func:`locate`.
    """
    target = None if out is None else check_target(out)
    opened = locate(name, **{"refresh": True, **options})
    if target is None:
        return opened
    signature = read_signature(opened.pack.path)
    try:
        with staged(target) as stage:
            opened.pack.copy_to(stage)
            if signature is not None:
                (stage / SIGNATURE_FILE).write_bytes(signature)
    except OSError as error:
        reason = error.strerror or error
        raise PackError(
            f"the pack could not be written to {target} ({reason}); make room or name another folder"
        ) from error
    return Opened(opened.pack.at(target), opened.source, opened.revision)


def target_of(
    target: str | os.PathLike[str] | None, pack_name: str, registry: str | os.PathLike[str] | None = None
) -> Source:
    """Where a push goes. Raises RegistryError for a target that is neither a Hub name nor an address."""
    from .address import local_target, split_url

    registry = registry_in_force(registry)
    text = "" if target is None else os.fspath(target)
    if "@" in text.rpartition("/")[2]:
        raise RegistryError(f"{text} names a revision, but a push makes a new one; leave the part from @ on out")
    if "://" in text or local_target(text) or (target is not None and not isinstance(target, str)):
        url, name = split_url(text)
        return Source(name or pack_name, url)
    if registry is not None:
        return Source(text or pack_name, split_url(os.fspath(registry))[0])
    if text.count("/") != 1:
        raise RegistryError(
            f"{text!r} is no place to push to; give owner/name for the Hub, or a folder registry as ./folder or its URL"
        )
    return Source(text)


def _remember(
    pack: Pack,
    signature: bytes | None,
    source: Source,
    published: Published,
    branch: str | None,
    cache_dir: str | os.PathLike[str] | None,
) -> None:
    """Here, too, the name means from now on what was pushed."""
    store, revision = Store(home(cache_dir) / "packs"), str(published.revision)
    try:
        store.keep(pack.path, pack.members, signature, source, revision, Requirement(quiet=True))
        for ref in {branch, published.tag}:
            store.point(source, ref, revision, pack.digest)
    except (RegistryError, OSError):
        return  # it is published; that it is not kept here as well costs one download
