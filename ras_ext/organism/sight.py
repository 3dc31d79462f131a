"""Teaches the vision tower to see before anything is said: every picture is tagged with what it holds.

A linear head tags each patch, and a picture's score for a tag is the log-sum-exp over its patches, so one patch that
shows a thing is enough. The head is thrown away; only the tower goes on to language. Without this the whole model
needs many times as long before it names the first thing.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ras_ext.organism.draw import Picture, draw
from ras_ext.organism.world import COLOURS, SAFE_INTENTS, THINGS

_THINGS, _VERBS = list(THINGS), list(SAFE_INTENTS)
# What is asked of every picture: which name it shows as a thing or as a word, which colour, which verb.
_QUESTIONS = (2 * len(_THINGS), len(COLOURS), len(_VERBS))
_UNASKED = -100


def tags_of(picture: Picture) -> tuple[int, int, int]:
    """The picture's name, colour and verb as class indices, -100 where it has none."""
    written = [len(_THINGS) + _THINGS.index(word) for word in picture.words if word in THINGS]
    verbs = [_VERBS.index(word) for word in picture.words if word in _VERBS]
    return (
        _THINGS.index(picture.thing) if picture.thing else written[0],
        COLOURS.index(picture.colour) if picture.colour else _UNASKED,
        verbs[0] if verbs else _UNASKED,
    )


def any_picture(rng: random.Random) -> Picture:
    """A clear picture of a thing, of a thing with a verb, or of a verb and a name."""
    thing, word, kind = rng.choice(_THINGS), rng.choice(_VERBS), rng.random()
    if kind < 0.3:
        return Picture(words=(word, thing))
    return Picture(thing, rng.choice(COLOURS), (word,) if kind < 0.5 else ())


def pixels(pictures: list[Picture], rng: random.Random) -> torch.Tensor:
    """The pictures drawn, ``(B, 3, 48, 48)`` f32 in [-1, 1] as the image processor gives them."""
    drawn = np.stack([draw(picture, rng) for picture in pictures])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1.0


class Tagger(nn.Module):
    """The vision tower with its passing head."""

    def __init__(self, tower: nn.Module, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(width, sum(_QUESTIONS))

    def loss(self, pictures: list[Picture], rng: random.Random) -> torch.Tensor:
        """Cross entropy of the three questions, over the pictures that have an answer."""
        patches = self.tower(pixels(pictures, rng)).last_hidden_state[:, 1:]
        scores = self.head(patches).logsumexp(1).split(_QUESTIONS, dim=1)
        truth = torch.tensor([tags_of(picture) for picture in pictures]).unbind(1)
        losses = [functional.cross_entropy(s, t, ignore_index=_UNASKED) for s, t in zip(scores, truth, strict=True)]
        return torch.stack(losses).sum()
