"""Publishing from the page: a dry run first, and then exactly what it showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ras_ext.errors import InputError
from ras_ext.registry import Published, push
from ras_ext.registry.address import normal_url
from ras_ext.registry.publishing import target_of
from ras_ext.studio.pack_names import checked_name
from ras_ext.studio.places import HUB, MACHINE, SAVED, TEAM, Places
from ras_ext.studio.studio import Studio


@dataclass(frozen=True)
class Order:
    """What is to be published where.

    Attributes:
        place, key: the pack, which lies on this machine.
        to: the place it goes to.
        name: what it is called there.
        private: who may see a repository that this makes on the Hub.
        sign: whether the studio's key signs it.
    """

    place: str
    key: str
    to: str
    name: str
    message: str = ""
    private: bool = True
    sign: bool = False


@dataclass(frozen=True)
class Rehearsal:
    """A dry run: of which order, and what it showed."""

    order: Order
    shown: Published

    @property
    def essence(self) -> tuple[Any, ...]:
        """What must still hold when it is done for real; the bytes of a signature are new each time."""
        shown = self.shown
        unchanged = (shown.name, shown.source, shown.tag, shown.digest, shown.removed, shown.created, shown.unchanged)
        return (*unchanged, shown.signed, shown.private, sorted(shown.files))


def rehearse(studio: Studio, places: Places, order: Order) -> Rehearsal:
    """What publishing would do; nothing is written.

    Raises:
        InputError: the pack, the place or the name cannot be taken.
        PackError: the pack is damaged, or the place cannot be reached or refuses.
    """
    return Rehearsal(order, _push(studio, places, order, dry_run=True))


def publish(studio: Studio, places: Places, order: Order, rehearsal: Rehearsal | None) -> Published:
    """Publishes what a dry run showed.

    Raises:
        InputError: there was no dry run of exactly this, or what it showed does not hold any more.
        PackError: as :func:`rehearse`; what stood there stays.
    """
    if rehearsal is None:
        raise InputError("nothing is published without a dry run; do one first and read what it shows")
    if rehearsal.order != order:
        raise InputError("the settings are not those of the dry run; do a dry run of exactly these first")
    if rehearse(studio, places, order).essence != rehearsal.essence:
        raise InputError("the pack or the place has changed since the dry run; do another one and read what it shows")
    done = _push(studio, places, order, dry_run=False)
    studio.desk.forget_guards()
    return done


def _push(studio: Studio, places: Places, order: Order, *, dry_run: bool) -> Published:
    if order.place not in (MACHINE, SAVED):
        raise InputError("only a pack of this machine can be published; pull it first")
    if order.to not in (TEAM, HUB) or order.to not in places.offered():
        raise InputError("there is no such place to publish to; choose one of those shown")
    name, revision = checked_name(order.name)
    if revision is not None:
        raise InputError(f"publishing makes a new version, got {order.name[:80]!r}; leave the part from @ on out")
    if order.to == HUB and "/" not in name:
        raise InputError(f"on the Hub a pack is called owner/name, got {name!r}; write whose it is to be")
    if order.sign and studio.signing is None:
        raise InputError("this studio was started without a key to sign with; leave the signature out")
    seen, registry = places.seen(order.place, order.key), places.registry(order.to)
    target = target_of(name, seen.pack.config["name"], registry)
    if target.repo != name or target.url != (None if registry is None else normal_url(registry)):
        raise InputError(f"{name!r} means something else where this studio runs; choose another name")
    return push(
        seen.pack.path,
        name,
        registry=registry,
        message=order.message or None,
        private=order.private if order.to == HUB else None,
        sign_key=studio.signing if order.sign else None,
        dry_run=dry_run,
    )
