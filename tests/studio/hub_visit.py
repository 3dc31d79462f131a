"""The Registry tab's work against a Hub, in a process that knows this Hub only; prints what came of it as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from studio.registry_places import studio_in

from ras_ext.errors import RasExtError
from ras_ext.studio.places import HUB, MACHINE
from ras_ext.studio.publishing import Order, publish, rehearse

ORDER = Order(MACHINE, "builtin:organism", HUB, "me/visited", "from the page", private=False)


def visit(place: Path) -> dict[str, object]:
    """Dry run, push, search, card, history, pull, check; and what a refused push says."""
    studio, places = studio_in(place)
    tried = rehearse(studio, places, ORDER)
    before = [entry.key for entry in places.listed(HUB, "visited")]
    done = publish(studio, places, ORDER, tried)
    try:
        rehearse(studio, places, replace(ORDER, name="me/model"))
        refused = ""
    except RasExtError as error:
        refused = str(places.hidden(error))
    seen = places.seen(HUB, "me/visited@v1")
    return {
        "tried": tried.shown.to_dict(),
        "before": before,
        "done": done.to_dict(),
        "refused": refused,
        "found": [entry.key for entry in places.listed(HUB, "visited")],
        "seen": [seen.pack.digest, seen.revision],
        "past": [list(one.tags) for one in places.past(HUB, "me/visited")],
        "pulled": places.pulled(HUB, "me/visited").pack.digest,
        "machine": [entry.key for entry in places.listed(MACHINE)],
        "sound": places.verified(HUB, "me/visited").ok,
        "again": rehearse(studio, places, ORDER).shown.unchanged,
    }


if __name__ == "__main__":
    print(json.dumps(visit(Path(sys.argv[1]))))
