"""What the Try tab shows: all of it escaped, the risk where it stands, harm behind a click."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from PIL import Image

from ras_ext.explaining import Explanation, View
from ras_ext.explaining.grid import Grid
from ras_ext.explaining.words import FirstWords, Step, Word
from ras_ext.guard import GuardedAnswer
from ras_ext.risk import Risk
from ras_ext.studio import regions, showing
from ras_ext.studio.asking import Question, Told
from tests.conftest import Subject

BAD = "<script>alert(1)</script> & \"quotes'"


@pytest.fixture
def told(organism: Subject) -> Told:
    answer = GuardedAnswer(
        text=BAD, risk=0.9, similarity=0.8, visual_context=BAD, steps=2, regions=None, image_prefills=1, tokens=4,
        refused=False, dose=(0.9, 0.45), schedule="auto", carrier="state", vectors=BAD, seconds=0.1,
    )  # fmt: skip
    return Told(
        Question("m", "p", BAD, Image.new("RGB", (8, 8))),
        stage="done",
        vectors=organism.vectors,
        risk=Risk(0.9, 0.8, BAD),
        defended=BAD,
        undefended=BAD,
        answer=answer,
        plain_tokens=4,
    )


def test_nothing_that_a_model_or_a_visitor_wrote_becomes_markup(told: Told) -> None:
    words = FirstWords(0.5, (Word(BAD, 0.1, 0.2, 0.3),), 0.2, (Step(1.0, ((BAD, 0.5),), ((BAD, 0.5),)),))
    shown = [showing.gauge(told), showing.seen(told), showing.defended(told), showing.undefended(told)]
    shown += [showing.receipt(told), showing.why(words), regions.picture(told.question.image, BAD)]
    assert all("<script" not in one for one in shown)
    assert sum("&lt;script" in one for one in shown) == 6  # the gauge says nothing that is not its own


@pytest.mark.parametrize(("risk", "words"), [(0.9, "above the baseline"), (0.5, "above"), (0.49, "below the baseline")])
def test_the_gauge_says_the_risk_and_on_which_side_of_the_baseline(told: Told, risk: float, words: str) -> None:
    shown = showing.gauge(replace(told, risk=Risk(risk, 0.8, "")))
    assert f'aria-valuenow="{risk:.3f}"' in shown
    assert f"width:{100 * risk:.2f}%" in shown
    assert words in shown


def test_a_score_that_is_not_finite_is_said_to_be_full_risk(told: Told) -> None:
    assert "counts as full risk" in showing.gauge(replace(told, risk=Risk(1.0, math.nan, "")))


def test_an_answer_that_may_be_harmful_stands_behind_a_click(told: Told) -> None:
    shown = showing.undefended(told)
    assert re.search(r"<details[^>]*><summary><strong>May be harmful", shown)
    assert shown.index("&lt;script") > shown.index("</summary>")
    assert " open" not in re.search(r"<details[^>]*>", shown)[0]  # type: ignore[index]


def test_while_it_is_written_or_unjudged_a_hidden_answer_is_counted_only(told: Told) -> None:
    for so_far in (replace(told, plain_tokens=None), replace(told, plain_tokens=None, risk=None)):
        shown = showing.undefended(so_far)
        assert "&lt;script" not in shown
        assert "3 words so far, hidden" in shown


def test_a_harmless_answer_is_shown_as_it_is(told: Told) -> None:
    shown = showing.undefended(replace(told, risk=Risk(0.01, 0.0, "")))
    assert "<details" not in shown
    assert "&lt;script" in shown


def test_the_receipt_holds_every_dose(told: Told) -> None:
    shown = showing.receipt(told)
    assert "0.900, 0.450" in shown
    assert "2 of 4" in shown


def _explanation(risk: bool) -> Explanation:
    heat = ((0.0, 0.1), (0.2, 0.4))
    view = View("q", heat, heat, heat if risk else None, 0.3 if risk else None, 0.7, heat)
    return Explanation(
        before=view, after=view, grid=Grid(2, 2, 2, 2), box=(10.0, 0.0, 30.0, 20.0), size=(40, 20), heads=((1, 2),),
        heads_from="pack" if risk else "request", layer=3 if risk else None, risk=0.5, similarity=0.5,
        visual_context="c", remark="" if risk else "missing", vectors="v",
    )  # fmt: skip


def test_regions_lie_where_the_model_was_shown_them() -> None:
    shown = regions.overlays(_explanation(False), Image.new("RGB", (40, 20)))
    places = re.findall(r"left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%", shown)[:4]
    assert [tuple(map(float, place)) for place in places] == [
        (25, 0, 25, 50), (50, 0, 25, 50), (25, 50, 25, 50), (50, 50, 25, 50),
    ]  # fmt: skip
    shades = [float(shade) for shade in re.findall(r"opacity:([\d.]+)", shown)[:4]]
    assert shades == [0, 0.188, 0.375, 0.75]


def test_risk_is_shown_where_it_was_calibrated_and_its_absence_said_where_not() -> None:
    image = Image.new("RGB", (40, 20))
    without, with_risk = (regions.overlays(_explanation(risk), image) for risk in (False, True))
    assert without.count("<figure") == 2
    assert with_risk.count("<figure") == 4
    assert "no risk per region" in without
    assert "no risk per region" not in with_risk
    assert "row 2: 0.20, 0.40" in with_risk  # for who does not see the colours


def test_a_large_picture_is_sent_small() -> None:
    sent = regions.thumbnail(Image.effect_noise((3000, 2000), 90).convert("RGB"))
    assert sent.startswith("data:image/webp;base64,")
    assert len(sent) < 200_000
