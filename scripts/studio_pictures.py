"""Takes the five pictures of docs/studio.md anew: a real studio of the organism, used as a person would.

``python scripts/studio_pictures.py [FOLDER]`` in an environment in which ``make test-studio`` ran.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from in_studio import a_studio  # noqa: E402

LONG = 300_000  # ms
WIDTH = 1180


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def take(page: Any, folder: Path, name: str, *, top: str | None = None, height: int = 860) -> None:
    """A picture of the page from an element down, or from its top."""
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement?.blur()")
    page.wait_for_timeout(400)
    start = 0 if top is None else page.locator(top).first.bounding_box()["y"] - 12 + page.evaluate("window.scrollY")
    whole = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": start, "width": WIDTH, "height": min(height, whole - start)}
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True, clip=clip, animations="disabled")


def trying(page: Any, folder: Path) -> None:
    page.get_by_label("Examples").click()
    page.get_by_role("option").filter(has_text="(picture, unsafe)").first.click()
    page.wait_for_function("() => document.querySelector('textarea').value != ''")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("first word after").wait_for(timeout=LONG)
    page.locator(".ras-hidden").wait_for(timeout=LONG)
    take(page, folder, "try", height=760)
    page.get_by_role("button", name="Why: the first words").click()
    page.get_by_role("button", name="Where: attention and risk").click()
    page.get_by_role("button", name="Show where it looks").click()
    page.get_by_text("Attention, after reformulation").wait_for(timeout=LONG)
    take(page, folder, "why", top=".ras-gauge", height=1360)


def tuning(page: Any, folder: Path) -> None:
    tab(page, "Tune")
    page.get_by_role("button", name="Answer the set").click()
    page.locator(".ras-curve").wait_for(timeout=LONG)
    for label, value in (("Slope α", "3"), ("Threshold S_base", "0.3")):
        before = page.locator(".ras-curve figcaption").inner_text()
        box = page.get_by_role("spinbutton", name=f"number input for {label}")
        box.fill(value)
        box.press("Tab")
        page.wait_for_function("text => document.querySelector('.ras-curve figcaption').innerText != text", arg=before)
    take(page, folder, "tune", height=1160)


def calibrating(page: Any, folder: Path) -> None:
    tab(page, "Calibrate")
    page.get_by_role("button", name="Calibrate", exact=True).click()
    page.get_by_text("is calibrated; nothing is kept until it is saved").wait_for(timeout=LONG)
    page.get_by_role("button", name="Save as a pack").click()
    page.get_by_text("Saved as").first.wait_for(timeout=LONG)
    take(page, folder, "calibrate", height=1500)


def registry(page: Any, folder: Path) -> None:
    tab(page, "Registry")
    page.get_by_label("Saved in this studio").check()
    page.get_by_role("button", name="List the packs").click()
    chosen = page.get_by_role("combobox", name="Pack (pick one")
    chosen.click()
    page.get_by_role("option").first.click()
    page.get_by_role("button", name="Read its card").click()
    page.locator(".ras-card").wait_for(timeout=LONG)
    take(page, folder, "registry", height=1500)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "studio"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, a_studio(playwright.chromium) as (url, _, browser):
        page = browser.new_context(viewport={"width": WIDTH, "height": 900}).new_page()
        page.goto(url)
        page.get_by_role("button", name="Ask", exact=True).wait_for()
        for part in (trying, tuning, calibrating, registry):
            part(page, folder)


if __name__ == "__main__":
    main()
