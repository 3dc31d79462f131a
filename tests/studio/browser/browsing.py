"""What a browser test does over and over: watch for trouble, open a tab, look, and ask axe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

WIDE, PHONE = (1180, 900), (360, 740)
_PICTURES = Path(__file__).parents[3] / "build" / "studio"


def watch(context: Any, url: str) -> list[str]:
    """The troubles of a context's pages as they come: errors, what failed, and what went anywhere but to `url`."""
    troubles: list[str] = []

    def console(message: Any) -> None:
        if message.type == "error":
            troubles.append(f"console: {message.text} ({message.location.get('url', '')})")

    def request(sent: Any) -> None:
        if not sent.url.startswith((f"{url}/", "data:", "blob:")):
            troubles.append(f"request to elsewhere: {sent.method} {sent.url[:200]}")

    def failed(sent: Any) -> None:
        if sent.failure != "net::ERR_ABORTED":  # the page itself ends a stream it no longer reads
            troubles.append(f"failed request: {sent.method} {sent.url[:200]}: {sent.failure}")

    def response(got: Any) -> None:
        if got.status >= 400:
            troubles.append(f"answered {got.status}: {got.request.method} {got.url[:200]}")

    context.on("console", console)
    context.on("weberror", lambda error: troubles.append(f"page error: {error.error}"))
    context.on("request", request)
    context.on("requestfailed", failed)
    context.on("response", response)
    return troubles


def enter(page: Any, url: str) -> None:
    """Opens the studio and waits until it can be used."""
    page.goto(url)
    page.get_by_role("tab", name="Try", exact=True).wait_for()


def open_tab(page: Any, name: str) -> None:
    """Opens one of the tabs: Try, Tune, Calibrate, Registry."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.is_visible():  # a narrow page keeps tabs behind a button
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text=name).click()
    else:
        tab.click()
    page.wait_for_function(
        "name => [...document.querySelectorAll('[role=tab][aria-selected=true]')]"
        ".some(tab => tab.innerText.trim() == name)",
        arg=name,
    )


def look(page: Any, name: str) -> Path:
    """A screenshot of the whole page, in $RAS_EXT_SCREENSHOTS or build/studio."""
    folder = Path(os.environ.get("RAS_EXT_SCREENSHOTS") or _PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True, animations="disabled")
    return folder / f"{name}.png"


def axe(page: Any) -> None:
    """Fails where axe-core finds a serious or critical violation, and names each with its first places."""
    from axe_playwright_python.sync_playwright import Axe

    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert not found, "\n".join(
        f"{one['impact']}: {one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
    )


def fits(page: Any) -> None:
    """Fails where the page is wider than the window, so that one would have to scroll sideways."""
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window, f"the page is {width} px wide in a window of {window} px"


def everywhere(page: Any, name: str) -> None:
    """Looks at the page as it is, wide and phone-wide, light and dark, and asks axe each time."""
    for size, (width, height) in (("wide", WIDE), ("phone", PHONE)):
        page.set_viewport_size({"width": width, "height": height})
        for dark in (False, True):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)  # as Gradio itself does it
            page.wait_for_timeout(250)  # colours fade over
            look(page, f"{name}-{size}-{'dark' if dark else 'light'}")
            axe(page)
        fits(page)
    page.evaluate("document.body.classList.remove('dark')")
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
