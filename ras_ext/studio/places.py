"""Where packs are, as the Registry tab names them: this machine, the studio's shelf, the team's registry, the Hub.

The page names places and packs. Folders and addresses stay here: what lies on this machine is looked up in a list, and
any other name must mean a repository of the place it was asked of.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ras_ext.errors import InputError, RasExtError
from ras_ext.registry import FolderRegistry, Verified, Version, list_packs, locate, pull, read_pack, verify
from ras_ext.registry.address import local_target, normal_url
from ras_ext.registry.home import home
from ras_ext.registry.layout import read_signature
from ras_ext.registry.names import aliases, parse, registry_in_force
from ras_ext.registry.pack import Pack
from ras_ext.registry.resolve import MADE_HERE, Opened
from ras_ext.registry.versions import Found
from ras_ext.sentences import sentence
from ras_ext.studio.pack_names import checked_name
from ras_ext.studio.studio import Studio

MACHINE, SAVED, TEAM, HUB = "machine", "saved", "team", "hub"
LABELS = {
    MACHINE: "This machine",
    SAVED: "Saved in this studio",
    TEAM: "The team's registry",
    HUB: "The Hub",
}
MOST = 50  # packs of one search


@dataclass(frozen=True)
class Entry:
    """A pack in a list: ``key`` names it in its place, ``path`` is where it lies if that is this machine."""

    key: str
    name: str
    base_model: str | None = None
    version: str | None = None
    date: str | None = None
    signed: bool | None = None
    private: bool = False
    path: Path | None = None

    @property
    def label(self) -> str:
        """All that helps to choose, on one line."""
        signed = {True: "signed", False: "not signed", None: None}[self.signed]
        version = self.version if self.version not in self.key.rpartition("@")[2].split() else None
        model = f"for {self.base_model}" if self.base_model else None
        parts = (self.key, version, model, (self.date or "")[:10], signed, "private" if self.private else None)
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class Seen:
    """A pack that was read and checked, and what it is a state of."""

    key: str
    pack: Pack
    signed: bool
    revision: str | None = None


class Places:
    """The places of one studio."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        team = registry_in_force(studio.registry)
        self.team = None if team is None else str(team)
        # Under the variable every name is one of that registry, and none leads to the Hub.
        self._hub = registry_in_force() is None

    def offered(self) -> list[str]:
        """The places there are."""
        return [MACHINE, SAVED, *([TEAM] if self.team else []), *([HUB] if self._hub else [])]

    def check(self, place: str) -> str:
        """The place, if it is one. Raises InputError."""
        if place not in self.offered():
            known = ", ".join(LABELS[one] for one in self.offered())
            raise InputError(f"there is no place {str(place)[:40]!r} in this studio; it has: {known}")
        return place

    def registry(self, place: str) -> str | None:
        """The folder registry behind a place; None for the Hub."""
        return {SAVED: str(self._studio.shelf.registry), TEAM: self.team}.get(place)

    def listed(self, place: str, words: str = "") -> list[Entry]:
        """The packs of a place with these words in their name. Raises InputError, or RegistryError of the place."""
        if self.check(place) == HUB:
            from ras_ext.registry.hub import hub_packs

            return [_entry(one, one.name) for one in hub_packs(query=words.strip() or None, limit=MOST)]
        found = {MACHINE: self._machine, SAVED: self._saved, TEAM: self._team}[place]()
        return [one for one in found if words.strip().lower() in one.name.lower()]

    def seen(self, place: str, key: str) -> Seen:
        """A pack, read and checked; one from elsewhere is not kept. Raises PackError or InputError."""
        if self.check(place) in (MACHINE, SAVED):
            entry = self._entry(place, key)
            assert entry.path is not None
            signed = read_signature(entry.path) is not None
            return Seen(key, read_pack(entry.path), signed, entry.version)
        name = self._leading(place, key)
        with tempfile.TemporaryDirectory() as scratch:
            opened = locate(name, registry=self.registry(place), cache_dir=scratch, **self._studio.signatures)
            return _seen(key, opened)

    def past(self, place: str, key: str) -> list[Version]:
        """The versions of a pack, newest first; none where its place keeps none."""
        from ras_ext.registry import history

        if self.check(place) == MACHINE:
            entry = self._entry(place, key)
            made = home() / MADE_HERE
            if entry.path is None or made not in entry.path.parents:
                return []
            return FolderRegistry(made).history(entry.name)
        if place == SAVED:
            return FolderRegistry(self._studio.shelf.registry).history(self._entry(place, key).name)
        return history(self._leading(place, key).partition("@")[0], registry=self.registry(place))

    def pulled(self, place: str, key: str) -> Seen:
        """Fetches the newest state of a pack, by which its name then goes on this machine. Raises as :meth:`seen`."""
        if self.check(place) in (MACHINE, SAVED):
            raise InputError(f"{str(key)[:80]!r} is on this machine already; choose another place to pull from")
        opened = pull(self._leading(place, key), registry=self.registry(place), **self._studio.signatures)
        self._studio.desk.forget_guards()
        return _seen(key, opened)

    def verified(self, place: str, key: str, keys: Sequence[str] = ()) -> Verified:
        """What is wrong with a pack, if anything; ``keys`` are public keys (PEM) one of which must have signed it."""
        options = dict(self._studio.signatures)
        if keys:
            options["trusted_keys"] = (*options.get("trusted_keys", ()), *keys)
        if self.check(place) in (MACHINE, SAVED):
            entry = self._entry(place, key)
            found = verify(entry.key if entry.key.startswith("builtin:") else str(entry.path), **options)
        else:
            found = verify(self._leading(place, key), registry=self.registry(place), **options)
        return found[0]

    def hidden(self, error: BaseException) -> RasExtError:
        """The error's sentence without the folders and addresses that the page must not tell."""
        return RasExtError(self.without_paths(sentence(error)))

    def without_paths(self, text: str) -> str:
        """A text in which this studio's own folders are named in words."""
        shelf, key = self._studio.shelf, self._studio.signing
        roots = [(str(shelf.registry), "the studio's own registry"), (str(shelf.folder), "the studio's folder")]
        roots += [(self.team, "the team's registry")] if self.team else []
        roots += [(str(key), "the studio's key")] if key else []
        roots += [(str(home()), "the store")]
        told = {}
        for root, words in roots:
            if "://" not in root:
                told[normal_url(root)] = told[str(Path(root).resolve())] = words
            told[normal_url(root) if "://" in root else root] = words
        for root in sorted(told, key=len, reverse=True):
            if len(root) > 1 and "/" in root:
                text = text.replace(root, told[root])
        return text

    def _leading(self, place: str, text: str) -> str:
        """The name, as it is given on: one that leads into that place and nowhere else. Raises InputError."""
        name, revision = checked_name(text)
        if place == HUB and "/" not in name and name not in aliases():
            raise InputError(f"on the Hub a pack is called owner/name, got {name!r}; write whose it is")
        whole = name if revision is None else f"{name}@{revision}"
        registry = self.registry(place)
        source = parse(whole, None, registry).source
        wanted = None if registry is None else normal_url(registry)
        if source is None or source.url != wanted or local_target(name):
            raise InputError(f"{name!r} means something else where this studio runs; it cannot be asked for here")
        return whole

    def _entry(self, place: str, key: str) -> Entry:
        for entry in self.listed(place):
            if entry.key == key:
                return entry
        where = LABELS[place][0].lower() + LABELS[place][1:]
        raise InputError(f"there is no pack {str(key or '')[:80]!r} ({where}); list the packs and pick one of them")

    def _machine(self) -> list[Entry]:
        own, found = normal_url(self._studio.shelf.registry), []
        for one in list_packs():
            if one.source == own:  # a copy of what is on the shelf
                continue
            key = one.name
            if one.source == "made here":
                key = f"{one.name} (made here)"
            elif one.source != "builtin":
                key = f"{one.name}@{(one.revision or '')[:12]} (fetched from {self._called(one.source)})"
            found.append(_entry(one, key))
        return found

    def _saved(self) -> list[Entry]:
        root, found = self._studio.shelf.registry, []
        registry = FolderRegistry(root)
        for name in registry.names() if registry.exists() else []:
            for record in reversed(registry.records(name)):
                version = f"v{record.version}"
                folder = root / name / "packs" / record.revision
                found.append(
                    Entry(
                        f"{name}@{version}",
                        name,
                        record.base_model,
                        version,
                        record.date,
                        record.signed,
                        path=folder,
                    )
                )
        return found

    def _team(self) -> list[Entry]:
        return [_entry(one, one.name) for one in list_packs(self.team)]

    def _called(self, source: str) -> str:
        if source == "hub":
            return "the Hub"
        is_team = self.team is not None and source == normal_url(self.team)
        return "the team's registry" if is_team else "a folder registry"


def _entry(one: Found, key: str) -> Entry:
    version = " ".join(one.tags) or (one.revision or "")[:12] or None
    path = None if one.path is None else Path(one.path)
    return Entry(key, one.name, one.base_model, version, one.date, one.signed, one.private, path)


def _seen(key: str, opened: Opened) -> Seen:
    return Seen(key, opened.pack, read_signature(opened.pack.path) is not None, opened.revision)
