"""The Calibrate tab as a person uses it: own files, progress, calling off, what was found, saving, bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ras_ext.organism.queries import text_queries, write_set
from ras_ext.registry import FolderRegistry
from tests.studio.browser.browsing import everywhere, look, open_tab
from tests.studio.browser.studio_process import Running

pytest.importorskip("gradio")
LONG = 120_000  # milliseconds; a slow machine calibrates slowly


@pytest.fixture
def queries(tmp_path: Path) -> tuple[Path, Path]:
    """Two short lists of the organism's world."""
    files = []
    for label in ("unsafe", "safe"):
        path = tmp_path / f"{label}.txt"
        path.write_text("\n".join(text_queries("calibration", label, 10)), encoding="utf-8")
        files.append(path)
    return files[0], files[1]


def _own(page: Any) -> None:
    open_tab(page, "Calibrate")
    page.get_by_label("My own files").check()
    page.get_by_text("Text files hold one query a line").wait_for()


def _send_lists(page: Any, queries: tuple[Path, Path]) -> None:
    _own(page)
    page.locator("#ras-calibrate-unsafe input[type=file]").set_input_files(queries[0])
    page.get_by_text("10 unsafe queries were read from unsafe.txt").wait_for(timeout=LONG)
    page.locator("#ras-calibrate-safe input[type=file]").set_input_files(queries[1])
    page.get_by_text("10 safe queries were read from safe.txt").wait_for(timeout=LONG)


def _start(page: Any) -> None:
    page.get_by_role("button", name="Calibrate", exact=True).click()


def test_a_pack_is_calibrated_on_own_files_read_saved_and_chosen(
    page: Any, studio: Running, queries: tuple[Path, Path], tmp_path: Path
) -> None:
    _send_lists(page, queries)
    everywhere(page, "calibrate-files")
    requests = write_set("calibration", tmp_path / "set", count=8)
    page.locator("#ras-calibrate-requests input[type=file]").set_input_files(
        [requests, *sorted((tmp_path / "set" / "images").iterdir())]
    )
    page.get_by_text("8 labelled requests were read: 4 unsafe, 4 safe.").wait_for(timeout=LONG)
    page.get_by_label("Name of the pack").fill("browsed-calibration")
    page.get_by_label("Licence of the pack (optional)").fill("cc0-1.0")
    _start(page)
    page.get_by_role("progressbar").first.wait_for(timeout=LONG)
    page.get_by_text("is calibrated; nothing is kept until it is saved").wait_for(timeout=LONG)
    table = page.get_by_role("region", name="What was found")
    assert "Separation of the similarities" in table.inner_text()
    assert "Spread of the prototype" in table.inner_text()
    assert page.locator("img.ras-light[alt^=Histograms]").is_visible()
    assert not page.locator("img.ras-dark[alt^=Histograms]").is_visible()
    everywhere(page, "calibrate-found")
    page.get_by_label("What is new in this version (optional)").fill("a test")
    for said in ("Saved as browsed-calibration@v1", "Nothing is new: browsed-calibration@v1"):
        page.get_by_role("button", name="Save as a pack").click()
        page.get_by_text(said).wait_for(timeout=LONG)
    everywhere(page, "calibrate-saved")
    (record,) = FolderRegistry(studio.folder / "registry").records("browsed-calibration")
    assert (record.version, record.base_model) == (1, "builtin:organism")


def test_a_calibration_is_called_off_and_begun_again_by_keyboard(page: Any, queries: tuple[Path, Path]) -> None:
    open_tab(page, "Calibrate")
    page.get_by_role("button", name="Calibrate", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("progressbar").first.wait_for(timeout=LONG)
    look(page, "calibrate-running")
    off = page.get_by_role("button", name="Call off", exact=True)
    off.focus()
    page.keyboard.press("Enter")
    page.get_by_text("The calibration was called off.").wait_for(timeout=LONG)
    assert page.get_by_role("button", name="Calibrate", exact=True).is_enabled()
    assert off.is_disabled()
    _send_lists(page, queries)
    _start(page)
    page.get_by_text("is calibrated; nothing is kept until it is saved").wait_for(timeout=LONG)


def test_what_cannot_be_used_is_one_sentence(page: Any, tmp_path: Path, queries: tuple[Path, Path]) -> None:
    _own(page)
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff\xfe\x00what is this")
    page.locator("#ras-calibrate-unsafe input[type=file]").set_input_files(bad)
    page.get_by_role("alert").get_by_text("is not UTF-8").wait_for(timeout=LONG)
    lonely = tmp_path / "lonely.jsonl"
    lonely.write_text('{"id": "1", "image": "a.png", "text": "what is it ?", "label": "safe"}\n')
    page.locator("#ras-calibrate-requests input[type=file]").set_input_files(lonely)
    page.get_by_role("alert").get_by_text("pictures that were not sent: a.png").wait_for(timeout=LONG)
    everywhere(page, "calibrate-bad")
    page.get_by_role("button", name="Forget what was sent").click()
    page.get_by_text("Nothing that was sent is used.").wait_for(timeout=LONG)
    assert page.get_by_role("alert").count() == 0
    page.get_by_label("Name of the pack").fill("../up")
    _start(page)
    page.get_by_role("alert").get_by_text("A pack cannot be called '../up'").wait_for(timeout=LONG)
    page.get_by_label("Name of the pack").fill("fine")
    page.get_by_label("Licence of the pack (optional)").fill("<b>")
    _start(page)
    page.get_by_role("alert").get_by_text("'<b>' is no licence").wait_for(timeout=LONG)
    assert not page.get_by_role("button", name="Save as a pack").is_visible()
