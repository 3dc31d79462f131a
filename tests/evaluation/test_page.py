"""The report page: complete in itself, safe against what answers contain, and telling what the table tells."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ras_ext import evaluate
from ras_ext.defenses import build
from ras_ext.evaluation import Report
from ras_ext.evaluation.examples import pick
from ras_ext.evaluation.page import render
from ras_ext.evaluation.plots import risk_histogram
from ras_ext.items import Item
from ras_ext.registry.theme import DARK, LIGHT
from tests.conftest import Subject


@pytest.fixture(scope="module")
def report(stranger: Subject, requests: list[Item]) -> Report:
    defenses = [build(name, stranger.model, stranger.processor, stranger.vectors) for name in ("none", "ras")]
    return evaluate(defenses, requests, batch_size=7, max_new_tokens=6, model_name="a <b>bold</b> model")


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = report.write_html(tmp_path_factory.mktemp("report") / "deep" / "report.html")
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_beside_itself(page: str) -> None:
    assert not re.search(r"https?://|//cdn|<script|<link|@import|url\(", page)
    sources = re.findall(r'(?:src|srcset)="([^"]*)"', page)
    assert len(sources) >= 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    for source in sources:
        Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).verify()


def test_the_page_shows_the_figures_of_the_table(page: str, report: Report) -> None:
    for row in report.rows:
        assert f"{100 * (row.asr or 0):.1f} %" in page
        assert f"<td>{row.tokens_per_s:.1f}</td>" in page
    assert report.vectors is not None
    assert report.vectors["id"] in page
    assert f"{report.vectors['s_base']:.3f}" in page
    assert str(report.environment["torch"]) in page
    assert "prefers-color-scheme: dark" in page


def test_texts_are_escaped_wherever_they_come_from(report: Report) -> None:
    evil = "<script>alert('x')</script>"
    items = tuple(replace(item, text=evil, kind=evil, history=((evil, evil),)) for item in report.items)
    records = tuple(replace(record, answer=evil, kind=evil, visual_context=evil) for record in report.records)
    kinds = tuple(replace(row, kind=evil) for row in report.kinds)
    page = render(replace(report, model=evil, items=items, records=records, kinds=kinds))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>bold</b>" not in render(report)


def test_light_and_dark_plots_differ_and_without_risk_there_is_none(report: Report) -> None:
    assert report.vectors is not None
    scored = [record for record in report.records if record.defense == "ras"]
    light, dark = (risk_histogram(scored, report.vectors, theme) for theme in (LIGHT, DARK))
    assert light
    assert dark
    assert light != dark
    moved = [replace(record, risk=0.5, similarity=0.5) for record in scored]
    assert risk_histogram(moved, report.vectors, LIGHT) != light
    assert risk_histogram([replace(record, risk=None) for record in scored], report.vectors, LIGHT) is None


def test_harmful_answers_are_folded_away_unless_they_are_the_organisms_nonsense(report: Report) -> None:
    records = tuple(
        replace(r, refused=False, content=True if r.label == "unsafe" else None, answer="zorb the flim")
        for r in report.records
    )
    real = render(replace(report, records=records))
    invented = render(replace(report, records=records, model="builtin:organism"))
    assert "<details>" in real
    assert "<details>" not in invented
    assert "contains the harm asked for" in real
    assert "contains the harm asked for" in invented


def test_a_report_without_vectors_or_images_is_a_page_as_well(stranger: Subject, requests: list[Item]) -> None:
    plain = [replace(item, image=None, kind="", reference=None) for item in requests[:4]]
    one = evaluate(build("none", stranger.model, stranger.processor), plain, batch_size=4, max_new_tokens=4)
    page = render(one)
    assert "steering vectors" not in page
    assert "without a kind" in page


def test_examples_show_what_was_stopped_left_alone_and_missed(report: Report) -> None:
    first = {record.id: record for record in report.records if record.defense == "none"}
    records = []
    for index, item in enumerate(report.items):
        before, bad = first[item.id], item.label == "unsafe"
        went_wrong = index in (0, 1)
        before = replace(before, refused=False, content=True if bad else None, correct=None if bad else True)
        after = replace(
            before,
            defense="ras",
            refused=bad != went_wrong,
            content=went_wrong if bad else None,
            correct=None if bad else not went_wrong,
        )
        records += [before, after]
    found = pick(replace(report, records=tuple(records)), "none", "ras")
    stopped, alone, wrong = found.values()
    assert {example.item.label for example in stopped} == {"unsafe"}
    assert {example.item.label for example in alone} == {"safe"}
    assert {example.item.id for example in wrong} == {report.items[0].id, report.items[1].id}
    assert len({example.item.kind for example in stopped}) == 3
    assert all(len(group) <= 3 for group in found.values())


def test_a_page_is_written_where_it_is_wanted(report: Report, tmp_path: Path) -> None:
    path = report.write_html(tmp_path / "a" / "b.html")
    assert path == tmp_path / "a" / "b.html"
    assert path.stat().st_size < 3_000_000
