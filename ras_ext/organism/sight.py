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

_THINGS, _WORDS = list(THINGS), list(SAFE_INTENTS)
_NAMES = 2 * len(_THINGS)  # seen as a thing, and read as a word
TAGS = _NAMES + len(COLOURS) + len(_WORDS)


def tags_of(picture: Picture) -> list[int]:
    """The indices of a picture's tags: one name first, then colour and verb."""
    found = []
    if picture.thing:
        found.append(_THINGS.index(picture.thing))
    found += [len(_THINGS) + _THINGS.index(word) for word in picture.words if word in THINGS]
    if picture.colour:
        found.append(_NAMES + COLOURS.index(picture.colour))
    found += [_NAMES + len(COLOURS) + _WORDS.index(word) for word in picture.words if word in _WORDS]
    return found


def any_picture(rng: random.Random) -> Picture:
    """A clear picture of a thing, of a thing with a verb, or of a verb and a name."""
    thing, word, kind = rng.choice(_THINGS), rng.choice(_WORDS), rng.random()
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
        self.head = nn.Linear(width, TAGS)

    def loss(self, pictures: list[Picture], rng: random.Random) -> torch.Tensor:
        """Cross entropy of the names and binary cross entropy of the other tags."""
        target = torch.zeros(len(pictures), TAGS)
        for row, picture in enumerate(pictures):
            target[row, tags_of(picture)] = 1.0
        patches = self.tower(pixels(pictures, rng)).last_hidden_state[:, 1:]
        scores = self.head(patches).logsumexp(1)
        names = functional.cross_entropy(scores[:, :_NAMES], target[:, :_NAMES].argmax(1))
        return names + 0.3 * functional.binary_cross_entropy_with_logits(scores[:, _NAMES:], target[:, _NAMES:])
