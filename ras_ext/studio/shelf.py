"""What a studio keeps in its folder: a folder registry of the packs saved in it, and evaluation runs.

    <folder>/registry/    packs by name, each save a new version
    <folder>/runs/<name>/ answers of an evaluation (items.jsonl and its items.run.json)

The page names entries, never paths.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ras_ext.errors import InputError
from ras_ext.registry import FolderRegistry, Published, list_packs, push
from ras_ext.registry.address import NAME, normal_url
from ras_ext.vectors import SteeringVectors

ANSWERS = "items.jsonl"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
HERE = "studio:"  # before the names of packs on the shelf


@dataclass(frozen=True)
class Offer:
    """A pack that can be chosen: what the page calls it, its name for :meth:`Shelf.place`, the model it is for."""

    label: str
    name: str
    base_model: str | None


class Shelf:
    """The studio's folder, made when something is first kept."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def registry(self) -> Path:
        """The folder registry of the packs saved here."""
        return self.folder / "registry"

    def packs(self) -> list[Offer]:
        """All packs of this machine: saved here by version, newest first, then built in, made here, fetched."""
        found = []
        saved = FolderRegistry(self.registry)
        if saved.exists():
            for name in saved.names():
                for record in reversed(saved.records(name)):
                    called = f"{name}@v{record.version}"
                    found.append(Offer(f"{called} (saved here)", HERE + called, record.base_model))
        own = normal_url(self.registry)
        for entry in list_packs():
            if entry.source == own:  # a copy of what was listed above
                continue
            elsewhere = "://" in entry.source  # which can be a path of this machine
            name = f"{entry.source}/{entry.name}" if elsewhere else entry.name
            label = f"{entry.name} (from a folder registry)" if elsewhere else name
            found.append(Offer(label, name, entry.base_model))
        return found

    def place(self, name: str) -> tuple[str, str | None]:
        """What `load_vectors` takes for an offered name: (name, registry)."""
        if name.startswith(HERE):
            return name.removeprefix(HERE), str(self.registry)
        return name, None

    def save(self, vectors: SteeringVectors, name: str, message: str) -> Published:
        """Keeps vectors as the next version of `name`.

        Raises:
            InputError: the name cannot be one.
            PackError: it cannot be written; what was there stays.
        """
        self.check(name)
        with tempfile.TemporaryDirectory() as scratch:
            return push(vectors.save(Path(scratch) / "pack"), name, registry=str(self.registry), message=message)

    def runs(self) -> list[str]:
        """Names of the evaluation runs kept here, by name."""
        return sorted(path.parent.name for path in self.folder.glob(f"runs/*/{ANSWERS}"))

    def run(self, name: str) -> Path:
        """The file of a run's answers; it need not be there yet. Raises InputError for what is no name of one."""
        if not _RUN.fullmatch(name or ""):
            raise InputError(f"a run cannot be called {name!r}; give letters, digits, dots and dashes")
        return self.folder / "runs" / name / ANSWERS

    def check(self, name: str) -> None:
        """Raises InputError for what cannot be the name of a pack; to be asked before long work for it."""
        if not NAME.fullmatch(name or ""):
            raise InputError(f"a pack cannot be called {name!r}; give letters, digits, dots and dashes, or owner/name")
