"""From a name to the folder that holds the pack: built in, a folder, an alias, or ``owner/name[@revision]`` on the Hub.

Only the last two may touch the network, and only through :func:`registry.hub.fetch`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from . import strict_json
from .errors import PackError, PackNotFoundError
from .fields import Fields
from .hub import fetch
from .layout import CONFIG_FILE, MIB
from .pack import Pack, read_pack
from .schema import SHA256

BUILTIN = "builtin:"
DEFAULT_NAMESPACE = "ras-ext"
NAMESPACE_VARIABLE = "RAS_EXT_NAMESPACE"
ALIASES_VARIABLE = "RAS_EXT_ALIASES"
_HUB_NAME = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w][\w./-]*))?", re.ASCII)


@dataclass(frozen=True)
class Alias:
    """A short name for a Hub repository; ``digest`` (sha256 of the ras_config.json) pins it to one pack's bytes."""

    name: str
    repo: str
    base_model: str | None = None
    revision: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Located:
    """Where a name led: ``folder`` on this machine, ``source`` in words, and the digest the pack must have, if any."""

    folder: Path
    source: str
    digest: str | None = None


def aliases(environ: Mapping[str, str] | None = None) -> dict[str, Alias]:
    """The shipped aliases, those of the JSON file RAS_EXT_ALIASES on top, in the namespace RAS_EXT_NAMESPACE.

    Raises PackError if that file cannot be used.
    """
    environ = os.environ if environ is None else environ
    namespace = environ.get(NAMESPACE_VARIABLE) or DEFAULT_NAMESPACE
    shipped = resources.files(__package__).joinpath("aliases.json").read_bytes()
    table = _parse_aliases(shipped, "aliases.json", namespace)
    extra = environ.get(ALIASES_VARIABLE)
    if extra:
        try:
            with Path(extra).expanduser().open("rb") as stream:
                raw = stream.read(MIB)
        except OSError as error:
            reason = error.strerror or error
            raise PackError(f"{ALIASES_VARIABLE} names {extra}, which cannot be read ({reason}); correct it") from None
        table.update(_parse_aliases(raw, extra, namespace))
    return table


def locate(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Located:
    """Find the folder of a pack, fetching it from the Hub if that is where it stands. Raises PackNotFoundError."""
    text = os.fspath(name)
    if text.startswith(BUILTIN):
        _no_revision(text, revision)
        return Located(_builtin(text), text)
    folder = Path(text).expanduser()
    if (folder / CONFIG_FILE).exists() or _looks_like_path(text) or isinstance(name, os.PathLike):
        _no_revision(text, revision)
        return Located(folder, str(folder))
    table = aliases()
    entry = table.get(text) or _hub_entry(text)
    if entry is None:
        raise PackNotFoundError(_unknown(text, list(table)))
    if revision is not None and entry.revision is not None and revision != entry.revision:
        raise PackNotFoundError(
            f"{text!r} stands for revision {entry.revision}, but {revision} was asked for; drop one"
        )
    wanted = revision or entry.revision
    fetched = fetch(
        entry.repo,
        wanted,
        base_model=entry.base_model,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
    )
    return Located(fetched, f"{entry.repo}@{wanted or 'main'}", entry.digest)


def open_pack(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Pack:
    """:func:`locate` and read: the pack under a name, checked. Raises PackNotFoundError or PackError."""
    place = locate(name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
    pack = read_pack(place.folder)
    if place.digest is not None and pack.digest != place.digest:
        raise PackError(
            f"{os.fspath(name)!r} is pinned to the pack with digest {place.digest[:12]}…, but {place.source} has "
            f"{pack.digest[:12]}…; do not use it, or pin the alias anew"
        )
    return pack


def _builtin(name: str) -> Path:
    root = Path(str(resources.files(__package__.rpartition(".")[0])))
    short = name.removeprefix(BUILTIN)
    known = sorted(path.parent.parent.name for path in root.glob(f"*/pack/{CONFIG_FILE}"))
    if short not in known:
        shown = ", ".join(BUILTIN + entry for entry in known) or "none in this installation"
        raise PackNotFoundError(f"there is no built-in pack {name!r}; the built-in packs are: {shown}")
    return root / short / "pack"


def _hub_entry(text: str) -> Alias | None:
    match = _HUB_NAME.fullmatch(text)
    if match is None or ".." in text:
        return None
    return Alias(text, match["repo"], revision=match["revision"])


def _looks_like_path(text: str) -> bool:
    return text.startswith((".", "/", "~", "\\")) or text.count("/") > 1 or "\\" in text or Path(text).is_absolute()


def _no_revision(text: str, revision: str | None) -> None:
    if revision is not None:
        raise PackNotFoundError(
            f"{text} is on this machine and has no revisions, got: {revision!r}; leave revision out"
        )


def _parse_aliases(raw: bytes, what: str, namespace: str) -> dict[str, Alias]:
    table = {}
    entries = Fields(strict_json.parse(raw, what))
    for name in entries.keys():  # noqa: SIM118 - Fields is no mapping
        entry = {"base_model": None, "revision": None, "digest": None, **dict(_mapping(entries.raw(name), name))}
        fields = Fields(entry, name)
        repo = fields.text("repo", limit=200).replace("{namespace}", namespace)
        target = _hub_entry(repo)
        if target is None or target.revision is not None:
            raise fields.fail("repo", "a Hub repository such as owner/name", repo)
        table[name] = Alias(
            name,
            repo,
            base_model=fields.optional_text("base_model", limit=200),
            revision=fields.optional_text("revision", pattern=r"[\w][\w./-]*", rule="a revision", limit=100),
            digest=fields.optional_text("digest", pattern=SHA256, rule="a sha256 in hexadecimal"),
        )
        fields.close()
    return table


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise PackError(f'alias {name} must be an object with a repo, got: {value!r}; write {{"repo": "owner/name"}}')
    return value


def _unknown(text: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.0)
    return (
        f"there is no pack named {text[:120]!r}; the nearest names are {', '.join(nearest)}; "
        "a Hub name is owner/name, a folder is written ./folder; "
        "to make a pack for your own model run `ras-ext calibrate MODEL --out DIR`"
    )
