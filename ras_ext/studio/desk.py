"""The models that are open and their guards; whoever computes on one takes its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ras_ext.errors import InputError, PackNotFoundError
from ras_ext.guard import Guard
from ras_ext.studio.room import must_fit
from ras_ext.studio.shelf import Shelf
from ras_ext.studio.turns import Turns

_GUARDS = 8  # of one model; a guard is small, and made anew in milliseconds


@dataclass
class Opened:
    """A model with its processor. `turns` must be held while it computes."""

    name: str
    model: Any
    processor: Any
    turns: Turns = field(default_factory=Turns)
    guards: dict[tuple[str, str | None], Guard] = field(default_factory=dict)


class Desk:
    """Opens each model once, when it is first asked for.

    Args:
        names: the models that may be opened, the first of them at once; the page can ask for no other.
        shelf: where packs come from.
        opens: from a name to (model, processor).
        places: from a name to its folder or Hub id.
        device: where models are put.
        packs: names of packs that are offered besides those of the shelf.
        loading: what else `load_vectors` is given, such as the signatures that are required.
    """

    def __init__(
        self,
        names: Sequence[str],
        shelf: Shelf,
        *,
        opens: Callable[[str], tuple[Any, Any]],
        places: Callable[[str], str],
        device: str | None = None,
        packs: Sequence[str] = (),
        **loading: Any,
    ) -> None:
        self.names, self.shelf = list(dict.fromkeys(names)), shelf
        self._opens, self._places, self._device, self._loading = opens, places, device, loading
        self._packs = frozenset(packs)
        self._opened: dict[str, Opened] = {}
        self._lock = threading.Lock()

    def open(self, name: str) -> Opened:
        """The model, opened if it is not yet.

        Raises:
            InputError: it is none of those offered.
            ModelError: it does not fit in memory, or cannot be opened.
        """
        if name not in self.names:
            raise InputError(f"there is no model {name!r} in this studio; it was started with {', '.join(self.names)}")
        if (found := self._opened.get(name)) is not None:
            return found  # not behind the lock, which another model may hold for minutes
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._load(name)
            return self._opened[name]

    def guard(self, opened: Opened, pack: str, schedule: str | None = None) -> Guard:
        """A guard of an offered pack.

        Raises:
            PackNotFoundError: there is no such pack, any more.
            PackMismatchError: it was made for another model.
        """
        key = (pack, schedule)
        guards = opened.guards
        found = guards.get(key)
        if found is None:
            from ras_ext.loading import load_vectors

            if pack not in self._packs and all(pack != offer.name for offer in self.shelf.packs()):
                raise PackNotFoundError(f"there is no pack {pack!r} in this studio; choose one that it offers")
            name, registry = self.shelf.place(pack)
            vectors = load_vectors(
                name, model=opened.model, processor=opened.processor, registry=registry, **self._loading
            )
            found = Guard(opened.model, opened.processor, vectors, schedule=schedule, remember=64)
            guards[key] = found
            for old in list(guards)[:-_GUARDS]:
                guards.pop(old, None)
        return found

    def forget_guards(self) -> None:
        """After packs changed: a name may mean other bytes now."""
        for opened in list(self._opened.values()):
            opened.guards = {}  # a new one: another thread may be at the old

    def _load(self, name: str) -> Opened:
        must_fit(name, self._places(name), self._device)
        model, processor = self._opens(name)
        return Opened(name, model, processor)
