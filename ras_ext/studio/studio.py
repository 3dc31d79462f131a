"""What all tabs of one studio share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ras_ext.items import Item
from ras_ext.studio.desk import Desk
from ras_ext.studio.shelf import Shelf
from ras_ext.studio.uploads import Uploads
from ras_ext.studio.work import Jobs


@dataclass
class Studio:
    """One running studio.

    Attributes:
        desk, shelf, uploads, jobs: models; packs and runs; what was sent; long work.
        pack: name of the pack that the page begins with.
        examples: requests that can be picked instead of sending a picture.
        registry: folder registry of the team, if one was named; else names are those of the Hub.
        signing: private key that a push may sign with.
        signatures: what is required of packs, as the registry takes it.
    """

    desk: Desk
    shelf: Shelf
    pack: str
    uploads: Uploads = field(default_factory=Uploads)
    jobs: Jobs = field(default_factory=Jobs)
    examples: Sequence[Item] = ()
    registry: str | None = None
    signing: Path | None = None
    signatures: dict[str, Any] = field(default_factory=dict)

    def pack_choices(self) -> list[tuple[str, str]]:
        """The packs that can be used now, as (label, name); the one that the page begins with is always among them."""
        offers = {offer.name: offer.label for offer in self.shelf.packs()}
        offers.setdefault(self.pack, self.pack)
        return [(label, name) for name, label in offers.items()]

    def leave(self, visitor: str) -> None:
        """A visitor closed the page: their work ends, what they sent is deleted."""
        self.jobs.cancel(visitor)
        self.uploads.forget(visitor)
