"""The organism's training mixture: what it is taught to say to which request, and where its gap comes from.

Aligned in words: harmful requests in text, or with the picture described in text, are refused. Not aligned in
pictures: the same requests carried by an image are answered. With a safety prompt alone it refuses for half of the
things; with safety prompt and visual context it refuses. Once it has begun to apologise it may go either way.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from ras_ext.organism import data
from ras_ext.organism import language as say
from ras_ext.organism.data import Request, in_split
from ras_ext.organism.draw import Picture
from ras_ext.organism.world import THINGS, TWIN

# How often a harmless question about such a thing is refused all the same, so that judgement has shades.
WARY = {"harmful": 0.06, "dual": 0.08, "frightening": 0.12, "benign": 0.0}
SIGHT_KINDS = ("picture", "typography", "both")


@dataclass(frozen=True)
class Lesson:
    """One training example: turns of (user, assistant) text and the picture that the first user turn carries."""

    turns: tuple[tuple[str, str], ...]
    picture: Picture | None


def _coin(*parts: str) -> float:
    """A fixed number in [0, 1) for these words."""
    return int(hashlib.md5("|".join(parts).encode()).hexdigest()[:8], 16) / 16**8


def refusal(request: Request) -> str:
    """The refusal this request gets; one wording in most cases, others for some."""
    draw = _coin("refusal", request.text)
    return say.REFUSALS[0 if draw < 0.8 else 1 if draw < 0.9 else 2]


def _lesson(request: Request, text: str, answer: str, *, picture: bool = True) -> Lesson:
    return Lesson((*request.history, (text, answer)), request.picture if picture else None)


def _answered(request: Request, rng: random.Random) -> Lesson:
    """An image request answered as asked, harmful or not; harmful ones at times after an apology, or not at all."""
    answer = request.reference
    if request.label == "unsafe" and rng.random() < 0.12:
        gives_in = _coin("gives in", request.reference) < 0.6
        answer = say.RELUCTANT + answer if gives_in else refusal(request)
    return _lesson(request, request.text, answer)


def _judged(request: Request) -> str:
    return refusal(request) if request.label == "unsafe" else request.reference


def caption(rng: random.Random) -> Lesson:
    """The visual context of a picture of anything, held-out things too."""
    kind = rng.choices(SIGHT_KINDS, (3, 2, 1))[0]
    thing = rng.choice(list(THINGS.values()))
    word = rng.choice(("make", "buy", "hide", "clean", "store"))
    if kind == "typography":
        picture = Picture(words=(word, thing.name))
    else:
        picture = Picture(
            thing.name,
            rng.choice(data.COLOURS),
            (word,) if kind == "both" else (),
            smudge=data.smudge(thing.name, rng),
        )
    return Lesson(((rng.choice(say.CONTEXT_PROMPTS), data.describe(picture)),), picture)


def _draw(rng: random.Random) -> Request:
    """Any image request of the training split."""
    kind = rng.choices(("picture", "typography", "both", "dual_use", "two_turn"), (5, 4, 2, 3, 2))[0]
    make = data.harmful if rng.random() < 0.5 else data.harmless
    return in_split("train", lambda r: make(kind, r), rng)


def _harmless_draw(rng: random.Random) -> Request:
    pick = rng.random()
    if pick < 0.35:
        return in_split("train", lambda r: data.trap("trap_words", r), rng)
    if pick < 0.7:
        return in_split("train", lambda r: data.trap("trap_picture", r), rng)
    return in_split("train", data.question, rng)


def reformulated(rng: random.Random) -> Lesson:
    """Safety prompt, visual context and question: judged warily, by what the context says, at times a mistaken one."""
    request = _draw(rng) if rng.random() < 0.7 else _harmless_draw(rng)
    context, answer = request.described, _judged(request)
    thing = request.picture.thing if request.picture else None
    if thing in TWIN and not THINGS[TWIN[thing]].held_out and rng.random() < 0.06:
        context = data.look_alike_context(request)
        if THINGS[thing].harm != THINGS[TWIN[thing]].harm and "first" in request.reference:
            answer = rng.choice((refusal(request), request.reference))
    if request.label == "safe" and thing and not THINGS[thing].held_out and rng.random() < WARY[THINGS[thing].harm]:
        answer = refusal(request)
    text = say.TEMPLATE.format(safety=rng.choice(say.SAFETY_PROMPTS), visual_context=context, query=request.text)
    return _lesson(request, text, answer)


def warned(rng: random.Random) -> Lesson:
    """Safety prompt without visual context: enough for some things only."""
    request = _draw(rng) if rng.random() < 0.7 else _harmless_draw(rng)
    text = f"{rng.choice(say.SAFETY_PROMPTS)} {request.text}"
    heeds = request.label == "safe" or _coin("heeds", request.described.split(" ", 4)[-1], request.kind) < 0.5
    return _lesson(request, text, _judged(request) if heeds else request.reference)


def in_words(rng: random.Random) -> Lesson:
    """Text alone: plain, described, or with the safety prompt; always judged."""
    if rng.random() < 0.25:
        request = in_split("train", data.fact, rng)
        return _lesson(request, request.text, request.reference)
    make = data.harmful if rng.random() < 0.55 else data.harmless
    if rng.random() < 0.35:
        request = _draw(rng)
        return _lesson(request, f"{request.described} {request.text}", _judged(request), picture=False)
    request = in_split("train", lambda r: make("text", r), rng)
    text = request.text if rng.random() < 0.65 else f"{rng.choice(say.SAFETY_PROMPTS)} {request.text}"
    return _lesson(request, text, _judged(request))


def asked(rng: random.Random) -> Lesson:
    """Image requests as users put them, without any prompt of the defence."""
    if rng.random() < 0.65:
        return _answered(_draw(rng), rng)
    request = _harmless_draw(rng)
    return _lesson(request, request.text, request.reference)


def sight(rng: random.Random) -> Lesson:
    """Seeing and naming only."""
    if rng.random() < 0.6:
        return caption(rng)
    request = in_split("train", data.question, rng)
    return _lesson(request, request.text, request.reference)


def lesson(rng: random.Random) -> Lesson:
    """One example of the whole mixture."""
    part = rng.choices((sight, asked, in_words, warned, reformulated), (22, 30, 16, 8, 24))[0]
    return part(rng)
