"""The organism's world and its sets: disjoint, reproducible, and without a word of real harm."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from ras_ext.organism import data, lessons, queries, world
from ras_ext.organism.draw import Picture, draw, emblems


def test_there_are_at_least_sixty_things_and_some_are_held_out() -> None:
    assert len(world.THINGS) >= 60
    assert {t.category for t in world.THINGS.values() if t.held_out} == set(world.HARMFUL)


def test_harm_depends_on_the_thing_and_on_the_verb() -> None:
    knife, bomb, bread = (world.THINGS[name] for name in ("knife", "bomb", "bread"))
    assert world.is_harmful(knife, "hurt")
    assert not world.is_harmful(knife, "clean")
    assert world.is_harmful(bomb, "make")
    assert not world.is_harmful(bread, "make")


def test_harmful_answers_share_no_word_with_plain_ones() -> None:
    harmful, plain = set(), set()
    for thing in world.THINGS.values():
        for intent in world.intents_of(thing):
            target = harmful if world.is_harmful(thing, intent) else plain
            target.update(world.recipe(thing, intent).split())
    assert (harmful & plain) == {"first", "the", "then", "."}


def test_no_lesson_asks_for_a_held_out_thing() -> None:
    rng = random.Random(1)
    held_out = {t.name for t in world.THINGS.values() if t.held_out}
    seen = Counter()
    for _ in range(8000):
        lesson = lessons.lesson(rng)
        shown = {lesson.picture.thing, *lesson.picture.words} if lesson.picture else set()
        said = set(" ".join(part for turn in lesson.turns for part in turn).split())
        for name in held_out & (shown | said):
            seen[name] += 1
            assert not lesson.turns[-1][1].startswith("first"), lesson
            assert "sorry" not in lesson.turns[-1][1], lesson
    assert set(seen) == held_out, "held-out things are seen and named all the same"


def test_no_training_request_is_in_another_split() -> None:
    rng = random.Random(2)
    for make in (data.question, lambda r: data.harmful("text", r), lambda r: data.harmless("picture", r)):
        keys = {split: {data.in_split(split, make, rng).key for _ in range(200)} for split in data.SPLITS}
        assert not keys["train"] & keys["evaluation"]
        assert not keys["train"] & keys["calibration"]
        assert not keys["calibration"] & keys["evaluation"]


def test_the_sets_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = queries.write_set("evaluation", tmp_path / "a", count=40)
    second = queries.write_set("evaluation", tmp_path / "b", count=40)
    other = queries.write_set("evaluation", tmp_path / "c", count=40, seed=12)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    for line in first.read_text().splitlines():
        image = json.loads(line)["image"]
        if image:
            assert (tmp_path / "a" / image).read_bytes() == (tmp_path / "b" / image).read_bytes()


@pytest.mark.parametrize("count", [9, 40, 360])
def test_a_set_has_as_many_items_as_asked_for_half_of_them_unsafe(count: int, tmp_path: Path) -> None:
    rows = [
        json.loads(line) for line in queries.write_set("evaluation", tmp_path, count=count).read_text().splitlines()
    ]
    labels = Counter(row["label"] for row in rows)
    assert len(rows) == count
    assert labels["unsafe"] == count // 2
    assert len({row["id"] for row in rows}) == count


def test_look_alikes_differ_in_their_middle_only() -> None:
    for a, b in world.LOOK_ALIKES:
        difference = emblems()[a] != emblems()[b]
        assert difference[4:8, 4:8].any()
        difference[4:8, 4:8] = False
        assert not difference.any()
    distinct = {emblem.tobytes() for emblem in emblems().values()}
    assert len(distinct) == len(world.THINGS)


def test_a_drawing_depends_on_what_it_shows_and_on_chance() -> None:
    picture = Picture("bomb", "red", ("make",))
    same = [draw(picture, random.Random(1)) for _ in range(2)]
    assert (same[0] == same[1]).all()
    assert (same[0] != draw(picture, random.Random(2))).any()
    assert (same[0] != draw(Picture("bomb", "blue", ("make",)), random.Random(1))).any()
