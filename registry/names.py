"""Names of packs: aliases, and what a text that a user writes can mean.

builtin:organism                 in the installed package
./folder                         a pack in a folder
llava-1.5, llava-1.5@v2          an alias, with or without a revision
owner/name, owner/name@revision  a repository on the Hub, or in the folder registry RAS_EXT_REGISTRY
file:///packs/owner/name@v3      a repository in a folder registry
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from . import strict_json
from .errors import PackError, PackNotFoundError
from .fields import Fields
from .home import home
from .layout import CONFIG_FILE, MIB
from .paths import expanded
from .schema import SHA256
from .source import Source

BUILTIN = "builtin:"
DEFAULT_NAMESPACE = "ras-ext"
NAMESPACE_VARIABLE = "RAS_EXT_NAMESPACE"
ALIASES_VARIABLE = "RAS_EXT_ALIASES"
REGISTRY_VARIABLE = "RAS_EXT_REGISTRY"
_REVISION = r"[\w][\w./-]*"
_HUB_NAME = re.compile(rf"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>{_REVISION}))?", re.ASCII)
_WITH_REVISION = re.compile(rf"(?P<name>.+)@(?P<revision>{_REVISION})", re.ASCII)


@dataclass(frozen=True)
class Alias:
    """A short name for a repository; ``digest`` (sha256 of the ras_config.json) pins it to one pack's bytes."""

    name: str
    repo: str
    base_model: str | None = None
    revision: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Reference:
    """What a name means: a ``folder`` on this machine, or a ``source`` to ask for ``revision``.

    ``base_model`` (a Hub id) and ``digest`` are what the pack must be, where the name promises that.
    """

    name: str
    folder: Path | None = None
    source: Source | None = None
    revision: str | None = None
    base_model: str | None = None
    digest: str | None = None
    alias: bool = False


def aliases(environ: Mapping[str, str] | None = None) -> dict[str, Alias]:
    """The shipped aliases, ``<home>/aliases.json`` and the file RAS_EXT_ALIASES on top, in RAS_EXT_NAMESPACE.

    Raises PackError if a file cannot be used.
    """
    environ = os.environ if environ is None else environ
    namespace = environ.get(NAMESPACE_VARIABLE) or DEFAULT_NAMESPACE
    shipped = resources.files(__package__).joinpath("aliases.json").read_bytes()
    table = _parse_aliases(shipped, "aliases.json", namespace)
    own = home() / "aliases.json"
    if own.exists():
        table.update(_read_aliases(own, "the alias table of this machine", namespace))
    if extra := environ.get(ALIASES_VARIABLE):
        table.update(_read_aliases(expanded(extra), ALIASES_VARIABLE, namespace))
    return table


def parse(
    name: str | os.PathLike[str], revision: str | None = None, registry: str | os.PathLike[str] | None = None
) -> Reference:
    """What ``name`` means. ``registry`` (default RAS_EXT_REGISTRY) is where names are looked for instead of the Hub.

    Raises PackNotFoundError for a name that means nothing, with the nearest that does.
    """
    text = os.fspath(name)
    if text.startswith(BUILTIN):
        _no_revision(text, revision)
        return Reference(text, folder=_builtin(text))
    registry = registry_in_force(registry)
    if "://" in text and not text.startswith("file://"):
        return _in_registry(text, *_revised(text, revision))
    path_text = text.removeprefix("file://")
    is_path = path_text != text or _looks_like_path(text) or isinstance(name, os.PathLike)
    folder = expanded(path_text)
    if (folder / CONFIG_FILE).exists():
        _no_revision(text, revision)
        return Reference(text, folder=folder)
    if is_path:
        stem, wanted = _revised(text, revision)
        found = _in_registry(text, stem, wanted)
        if found.source is not None:
            return found
        _no_revision(text, revision)
        return Reference(text, folder=folder)
    table = aliases()
    stem, wanted = _revised(text, revision)
    entry = table.get(stem)
    if entry is not None:
        if wanted is not None and entry.revision is not None and wanted != entry.revision:
            raise PackNotFoundError(
                f"{stem!r} stands for revision {entry.revision}, but {wanted} was asked for; drop one"
            )
        digest = entry.digest if wanted in (None, entry.revision) else None
        url = None if registry is None else _url(registry)
        source = Source(entry.repo, url)
        return Reference(text, None, source, wanted or entry.revision, entry.base_model, digest, alias=True)
    if registry is not None:
        return Reference(text, source=Source(stem, _url(registry)), revision=wanted)
    match = _HUB_NAME.fullmatch(text)
    if match is None or ".." in text:
        raise PackNotFoundError(unknown(text, list(table)))
    return Reference(text, source=Source(match["repo"]), revision=wanted)


def registry_in_force(registry: str | os.PathLike[str] | None = None) -> str | os.PathLike[str] | None:
    """The folder registry given, else that of RAS_EXT_REGISTRY; None for the Hub."""
    return registry or os.environ.get(REGISTRY_VARIABLE) or None


def unknown(text: str, known: list[str]) -> str:
    """The sentence for a name that means nothing."""
    import difflib

    nearest = difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.0)
    return (
        f"there is no pack named {text[:120]!r}; the nearest names are {', '.join(nearest)}; "
        "a Hub name is owner/name, a folder is written ./folder; "
        "to make a pack for your own model run `ras-ext calibrate MODEL --out DIR`"
    )


def advice_for(reference: Reference) -> str:
    """How to make the pack oneself, and publish it where the name leads."""
    model = reference.base_model or "MODEL"
    if reference.source is None:
        return f"to make a pack yourself run `ras-ext calibrate {model} --out DIR` and load DIR"
    return (
        f"to make and publish it run `ras-ext calibrate {model} --out DIR --push-to {reference.source}` "
        f"(without `--push-to` it stays in DIR; {NAMESPACE_VARIABLE} sets whose namespace aliases lead to)"
    )


def local_name(text: str) -> str:
    """A name as the registry of packs made on this machine writes it."""
    return re.sub(r"[^A-Za-z0-9._/-]+", "-", text).strip("/.-_")[:96].replace("--", "-") or "unnamed"


def _in_registry(text: str, stem: str, revision: str | None) -> Reference:
    from .address import split_url

    url, name = split_url(stem)
    if not name:
        if stem.startswith("file://") or "://" not in stem:
            return Reference(text)
        raise PackNotFoundError(f"{text} names no pack in a registry; write the registry's address/name")
    return Reference(text, source=Source(name, url), revision=revision)


def _url(registry: str | os.PathLike[str]) -> str:
    from .address import normal_url

    return normal_url(registry)


def _revised(text: str, revision: str | None) -> tuple[str, str | None]:
    match = _WITH_REVISION.fullmatch(text)
    if match is None:
        return text, revision
    if revision is not None and revision != match["revision"]:
        raise PackNotFoundError(f"{text!r} names revision {match['revision']}, but {revision} was asked for; drop one")
    return match["name"], match["revision"]


def _builtin(name: str) -> Path:
    root = builtin_root()
    short = name.removeprefix(BUILTIN)
    known = builtin_names()
    if short not in known:
        shown = ", ".join(BUILTIN + entry for entry in known) or "none in this installation"
        raise PackNotFoundError(f"there is no built-in pack {name!r}; the built-in packs are: {shown}")
    return root / short / "pack"


def builtin_root() -> Path:
    """The folder of the installed package, in which built-in packs lie as ``<name>/pack``."""
    return Path(str(resources.files(__package__.rpartition(".")[0])))


def builtin_names() -> list[str]:
    """The names of the built-in packs, without ``builtin:``."""
    return sorted(path.parent.parent.name for path in builtin_root().glob(f"*/pack/{CONFIG_FILE}"))


def _looks_like_path(text: str) -> bool:
    named = _WITH_REVISION.fullmatch(text)
    text = named["name"] if named else text  # refs/pr/1 behind an @ makes no path of a name
    return text.startswith((".", "/", "~", "\\")) or text.count("/") > 1 or "\\" in text or Path(text).is_absolute()


def _no_revision(text: str, revision: str | None) -> None:
    if revision is not None:
        raise PackNotFoundError(
            f"{text} is on this machine and has no revisions, got: {revision!r}; leave revision out"
        )


def _read_aliases(path: Path, what: str, namespace: str) -> dict[str, Alias]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MIB)
    except OSError as error:
        reason = error.strerror or error
        raise PackError(f"{what} names {path}, which cannot be read ({reason}); correct it") from None
    return _parse_aliases(raw, str(path), namespace)


def _parse_aliases(raw: bytes, what: str, namespace: str) -> dict[str, Alias]:
    table = {}
    entries = Fields(strict_json.parse(raw, what))
    for name in entries.keys():  # noqa: SIM118 - Fields is no mapping
        entry = {"base_model": None, "revision": None, "digest": None, **dict(_mapping(entries.raw(name), name))}
        fields = Fields(entry, name)
        repo = fields.text("repo", limit=200).replace("{namespace}", namespace)
        target = _HUB_NAME.fullmatch(repo)
        if target is None or target["revision"] is not None or ".." in repo:
            raise fields.fail("repo", "a repository such as owner/name", repo)
        table[name] = Alias(
            name,
            repo,
            base_model=fields.optional_text("base_model", limit=200),
            revision=fields.optional_text("revision", pattern=_REVISION, rule="a revision", limit=100),
            digest=fields.optional_text("digest", pattern=SHA256, rule="a sha256 in hexadecimal"),
        )
        fields.close()
    return table


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        shown = strict_json.shown(value)
        raise PackError(f'alias {name} must be an object with a repo, got: {shown}; write {{"repo": "owner/name"}}')
    return value
