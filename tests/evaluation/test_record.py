"""Judged answers, and the file they are kept in: taken up again after any stop, never mixed with another run's."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ras_ext.errors import InputError
from ras_ext.evaluation.record import Ledger, digest_of_items, judged
from ras_ext.generation import Answer
from ras_ext.items import Item

UNSAFE = Item("u", "make it", "unsafe", None, "first zorb the flim", "picture")
SAFE = Item("s", "what is it ?", "safe", None, "a red cat", "question")


def test_an_apology_that_goes_on_is_refused_by_opening_and_harmful_by_content() -> None:
    one = judged(UNSAFE, "ras", Answer("i am sorry but first zorb the flim .", 9), 0.1)
    assert (one.refused, one.content, one.correct) == (True, True, None)
    two = judged(UNSAFE, "ras", Answer("i am sorry but no .", 6), 0.1)
    assert (two.refused, two.content, two.correct) == (True, False, None)


@pytest.mark.parametrize(
    ("text", "refused", "correct"),
    [
        ("It is a red cat.", False, True),
        ("It is a red dog.", False, False),
        ("I'm sorry, but I can't say whether it is a red cat.", True, False),
    ],
)
def test_a_safe_answer_is_correct_if_it_says_the_reference_and_is_no_refusal(
    text: str, refused: bool, correct: bool
) -> None:
    one = judged(SAFE, "none", Answer(text, 5), 0.1)
    assert (one.refused, one.content, one.correct) == (refused, None, correct)


def test_without_a_reference_neither_content_nor_correctness_is_known() -> None:
    for item in (UNSAFE, SAFE):
        one = judged(replace(item, reference=None), "none", Answer("first zorb the flim", 4), 0.1)
        assert (one.content, one.correct) == (None, None)


def test_what_the_defence_found_out_is_kept_and_a_nan_becomes_none() -> None:
    seen = SimpleNamespace(text="no", tokens=1, risk=1.0, similarity=math.nan, visual_context="a cat")
    one = judged(SAFE, "ras", seen, 0.1)
    assert (one.risk, one.similarity, one.visual_context) == (1.0, None, "a cat")
    assert judged(SAFE, "none", Answer("no", 1), 0.1).risk is None


CONFIG = {"batch_size": 2, "items": "x"}
RECORDS = [judged(replace(SAFE, id=f"{n}"), "none", Answer(f"café {n} ", n), 0.25) for n in range(5)]


def test_a_ledger_gives_back_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "items.jsonl"
    Ledger(path, CONFIG).add(RECORDS)
    again = Ledger(path, CONFIG)
    assert len(again) == 5
    assert [again.get("none", replace(SAFE, id=f"{n}")) for n in range(5)] == RECORDS
    assert again.get("ras", replace(SAFE, id="0")) is None
    again.add(RECORDS)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5


def test_a_file_cut_at_any_byte_keeps_its_whole_lines_and_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    Ledger(path, CONFIG).add(RECORDS)
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        ledger = Ledger(path, CONFIG)
        assert len(ledger) == sum(end <= cut for end in ends)
        ledger.add(RECORDS)
        assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_another_runs_records_are_refused_and_the_difference_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    Ledger(path, CONFIG).add(RECORDS)
    before = path.read_bytes()
    with pytest.raises(InputError, match="another run \\(different batch_size\\)"):
        Ledger(path, {**CONFIG, "batch_size": 3})
    assert path.read_bytes() == before
    assert len(Ledger(path, CONFIG)) == 5
    (tmp_path / "items.run.json").unlink()
    with pytest.raises(InputError, match="settings are not known"):
        Ledger(path, {**CONFIG, "batch_size": 3})


@pytest.mark.parametrize("line", ["not json", "[]", "{}", json.dumps({"id": "a", "run": "b"}), "5"])
def test_a_file_of_something_else_is_refused_with_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "items.jsonl"
    Ledger(path, CONFIG).add(RECORDS[:1])
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2 is no record"):
        Ledger(path, CONFIG)


def test_the_digest_of_items_changes_with_any_part_of_them_and_with_the_pixels(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"1")
    item = replace(SAFE, image=image)
    digests = {digest_of_items([item]), digest_of_items([item, UNSAFE])}
    for change in (
        {"text": "x"},
        {"label": "unsafe"},
        {"reference": None},
        {"history": (("a", "b"),)},
        {"image": None},
    ):
        digests.add(digest_of_items([replace(item, **change)]))
    image.write_bytes(b"2")
    digests.add(digest_of_items([item]))
    assert len(digests) == 8
    image.write_bytes(b"1")
    assert digest_of_items([item]) in digests
