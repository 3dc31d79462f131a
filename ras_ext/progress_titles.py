"""What the stages of long work are called, on a terminal and on a page."""

from __future__ import annotations

_TITLES = {
    "prototypes": "reading how the model refuses",
    "baseline": "scoring safe and unsafe requests",
    "context": "trying without the visual context",
    "schedule": "choosing how long to steer",
    "regions": "finding where in an image the risk is",
    "answers": "answering",
}


def title_of(stage: str) -> str:
    """The stage in words; its own name where nobody has found better ones."""
    return _TITLES.get(stage, stage)
