"""The page itself: it opens, its tabs can be reached by mouse and keyboard, and it asks nobody else for anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.studio.browser.browsing import PHONE, axe, enter, everywhere, fits, open_tab, watch
from tests.studio.browser.studio_process import Running

TABS = ("Try", "Tune", "Calibrate", "Registry")


@pytest.mark.parametrize("name", TABS)
def test_each_tab_opens_and_reads_well_in_every_window(page: Any, name: str) -> None:
    open_tab(page, name)
    everywhere(page, f"tab-{name.lower()}")


def test_the_tabs_are_walked_by_keyboard(page: Any) -> None:
    page.get_by_role("tab", name="Try", exact=True).focus()
    for name in TABS[1:]:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText.trim()") == name
        page.keyboard.press("Enter")
        assert page.get_by_role("tab", name=name, exact=True).get_attribute("aria-selected") == "true"


def test_a_phone_opens_every_tab(page: Any) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    for name in TABS:
        open_tab(page, name)
        fits(page)


def test_a_dark_system_gets_a_dark_page(studio: Running, browser: Any) -> None:
    context = browser.new_context(color_scheme="dark")
    troubles = watch(context, studio.url)
    page = context.new_page()
    enter(page, studio.url)
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")[:3]
    assert max(red, green, blue) < 80
    axe(page)
    context.close()
    assert not troubles


def test_the_watch_sees_what_goes_wrong(studio: Running, browser: Any) -> None:
    """The twin of every test here: a page that does wrong is caught."""
    context = browser.new_context()
    troubles = watch(context, studio.url)
    page = context.new_page()
    enter(page, studio.url)
    assert not troubles
    page.evaluate("console.error('on purpose'); setTimeout(() => { throw new Error('thrown') })")
    page.evaluate("fetch('http://127.0.0.1:9/elsewhere').catch(() => 0)")
    page.evaluate("fetch('/gradio_api/file=/etc/passwd').then(answer => answer.text())")
    page.wait_for_timeout(300)
    context.close()
    for part in ("console: on purpose", "page error: ", "elsewhere", "answered 404"):
        assert any(part in trouble for trouble in troubles), (part, troubles)
