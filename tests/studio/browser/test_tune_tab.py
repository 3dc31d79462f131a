"""The Tune tab as a person uses it: a set is answered, the sliders moved by keyboard, a pack saved, its run loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ras_ext.organism.queries import write_set
from ras_ext.registry import FolderRegistry
from tests.studio.browser.browsing import everywhere, open_tab
from tests.studio.browser.studio_process import Running

pytest.importorskip("gradio")
LONG = 120_000  # milliseconds; a slow machine answers slowly


def number(page: Any, label: str) -> Any:
    return page.get_by_role("spinbutton", name=f"number input for {label}")


def answer(page: Any, count: int = 20) -> None:
    """Has the built-in set answered."""
    open_tab(page, "Tune")
    number(page, "Number of requests").fill(str(count))
    page.get_by_role("button", name="Answer the set").click()
    page.locator(".ras-curve").wait_for(timeout=LONG)
    page.get_by_text(f"{count} requests: {count // 2} unsafe").wait_for()


def move(page: Any, label: str, value: str) -> None:
    """Sets a slider by its number, and waits until the page has followed."""
    before = page.locator(".ras-curve figcaption").inner_text()
    number(page, label).fill(value)
    number(page, label).press("Tab")
    page.wait_for_function("before => document.querySelector('.ras-curve figcaption').innerText != before", arg=before)


def test_a_pack_is_tuned_measured_and_saved(page: Any, studio: Running) -> None:
    answer(page)
    everywhere(page, "tune-own")
    page.get_by_text("None: every request counts as it did").wait_for()
    move(page, "Slope α", "0.5")
    move(page, "Threshold S_base", "0.45")
    page.locator(".ras-change").first.wait_for()
    assert "now refused" in page.locator(".ras-changes").inner_text()
    everywhere(page, "tune-chosen")
    page.get_by_label("Name of the tuned pack").fill("browsed-tuned")
    page.get_by_label("What this version is for (optional)").fill("a test")
    page.get_by_role("button", name="Measure and save").click()
    page.get_by_text("Saved as browsed-tuned@v1").wait_for(timeout=LONG)
    everywhere(page, "tune-saved")
    record = FolderRegistry(studio.folder / "registry").records("browsed-tuned")[-1]
    assert record.version == 1
    (run,) = studio.folder.glob("runs/browsed-tuned-*/items.run.json")
    assert json.loads(run.read_text())["vectors"]["alpha"] == 0.5
    page.get_by_label("A run that is kept here").check()
    page.get_by_label("Pack to tune").click()
    page.get_by_role("option", name="browsed-tuned@v1 (saved here)").click()
    page.get_by_label("Run", exact=True).click()
    page.get_by_role("option", name=run.parent.name).click()
    page.get_by_role("button", name="Load the run").click()
    page.get_by_text("20 requests: 10 unsafe, 10 safe").wait_for(timeout=LONG)
    page.get_by_text("Dashed upright: the pack’s own threshold 0.450").wait_for()


def test_the_sliders_are_moved_by_keyboard_and_go_back(page: Any) -> None:
    answer(page)
    own = number(page, "Threshold S_base").input_value()
    slider = page.get_by_role("slider", name="range slider for Threshold S_base")
    slider.focus()
    for _ in range(40):  # held down: the page follows to the last place
        page.keyboard.press("ArrowRight")
    last = slider.input_value()
    assert float(last) > float(own) + 0.15
    page.get_by_text(f"solid: the chosen {float(last):.3f}").wait_for()
    page.get_by_role("button", name="Back to the pack's own").click()
    page.get_by_text(f"solid: the chosen {float(own):.3f}").wait_for()
    assert float(number(page, "Threshold S_base").input_value()) == pytest.approx(float(own), abs=1e-6)


def test_answering_is_called_off_and_the_page_goes_on(page: Any) -> None:
    open_tab(page, "Tune")
    number(page, "Number of requests").fill("240")
    page.get_by_role("button", name="Answer the set").click()
    page.get_by_role("progressbar").wait_for(timeout=LONG)
    page.get_by_role("button", name="Call off the answering").click()
    page.get_by_text("The answering was called off.").wait_for(timeout=LONG)
    assert page.get_by_role("button", name="Answer the set").is_enabled()
    answer(page)


def test_a_set_that_was_sent_is_answered_and_one_that_was_not_is_one_sentence(
    page: Any, studio: Running, tmp_path: Path
) -> None:
    path = write_set("calibration", tmp_path / "mine", count=4)
    pictures = sorted((tmp_path / "mine" / "images").iterdir())
    open_tab(page, "Tune")
    page.get_by_label("A set of mine, answered here").check()
    page.get_by_role("button", name="Answer the set").click()
    page.get_by_text("No set was sent; send a .jsonl file with its pictures").wait_for(timeout=LONG)
    page.locator("#ras-tune-set input[type=file]").set_input_files([path, *pictures])
    page.get_by_text("4 requests: 2 unsafe, 2 safe").wait_for(timeout=LONG)
    page.get_by_role("button", name="Answer the set").click()
    page.locator(".ras-curve").wait_for(timeout=LONG)
    page.get_by_text("on 4 requests that were sent").wait_for()


def test_harmful_answers_are_behind_a_click(page: Any) -> None:
    answer(page, 60)
    move(page, "Slope α", "30")
    move(page, "Threshold S_base", "0.99")
    folded = page.locator(".ras-change details")
    folded.first.wait_for()
    assert not folded.first.get_by_text("May be harmful.").is_visible()
    folded.first.locator("summary").focus()
    page.keyboard.press("Enter")
    folded.first.get_by_text("May be harmful.").wait_for()
