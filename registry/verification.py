"""Checking what is published, as somebody sees it who has nothing yet; and packs that lie in folders.

Nothing that is checked is kept, and no copy on this machine answers for what is out there.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import PackError, SignatureError
from .layout import CONFIG_FILE, read_signature
from .names import BUILTIN, parse, registry_in_force
from .pack import verify_pack
from .resolve import Opened, locate
from .trust import requirement_for


@dataclass(frozen=True)
class Verified:
    """The state of one pack: ``problems`` are sentences; ``signature`` is none, accepted, refused or unchecked."""

    name: str
    problems: tuple[str, ...]
    digest: str | None = None
    revision: str | None = None
    signature: str = "none"
    unlisted: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self), "problems": list(self.problems), "unlisted": list(self.unlisted)}


def verify(name: str | os.PathLike[str], **options: Any) -> list[Verified]:
    """Check a pack in a folder, one that is published, or every version of all packs of a folder registry.

    Options as :func:`locate`. What is wrong is reported, not raised.
    """
    text = os.fspath(name)
    folder = Path(text).expanduser()
    if text.startswith(BUILTIN) or (folder / CONFIG_FILE).exists():
        return [_folder(text, **options)]
    registry = _registry(text)
    if registry is None:
        return [_published(text, **options)]
    found = []
    for pack in registry.names():
        for record in registry.records(pack):
            found.append(_published(f"{pack}@v{record.version}", **{**options, "registry": registry.url}))
        for number in registry.unreadable(pack):
            found.append(
                Verified(f"{pack}@v{number}", ("the record of this version cannot be read; push the pack anew",))
            )
    return found


def _registry(text: str) -> Any:
    from .address import local_target, split_url
    from .folder import FolderRegistry

    if "://" in text or local_target(text):
        url, name = split_url(text)
        registry = FolderRegistry(url)
        if not name and registry.exists():
            return registry
    return None


def _folder(text: str, **options: Any) -> Verified:
    folder = parse(text).folder
    assert folder is not None
    report = verify_pack(folder)
    problems, signature = list(report.problems), "none"
    if report.ok:
        signature = "unchecked" if read_signature(folder) else "none"
        try:
            signature = _signature(locate(text, **options), **options)
        except PackError as error:
            problems.append(str(error))
            signature = "refused" if isinstance(error, SignatureError) else signature
    return Verified(text, tuple(problems), report.digest, None, signature, report.unlisted)


def _published(text: str, **options: Any) -> Verified:
    registry = registry_in_force(options.pop("registry", None))
    with tempfile.TemporaryDirectory() as nothing_yet:
        try:
            opened = locate(text, registry=registry, cache_dir=nothing_yet, **options)
        except PackError as error:
            return Verified(text, (str(error),), signature="refused" if isinstance(error, SignatureError) else "none")
        return Verified(text, (), opened.pack.digest, opened.revision, _signature(opened, **options))


def _signature(opened: Opened, **options: Any) -> str:
    if read_signature(opened.pack.path) is None:
        return "none"
    namespace = opened.source.namespace if opened.source else ""
    asked = {key: options[key] for key in ("require_signature", "trusted_keys", "trust") if key in options}
    # It was checked on the way in if it was required.
    return "accepted" if requirement_for(namespace, "it", quiet=True, **asked).required else "unchecked"
