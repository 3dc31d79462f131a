"""A running studio and a browser on it: ``studio``, ``browser``, ``page`` and the ``troubles`` of that page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.studio.browser.browsing import WIDE, enter, watch
from tests.studio.browser.studio_process import Running, running_studio

CHROMIUM = os.environ.get("RAS_EXT_CHROMIUM", "/usr/bin/chromium")


def _need(there: bool, what: str) -> None:
    """Skips what cannot run here, or fails where it was said that it must."""
    if there:
        return
    if os.environ.get("RAS_EXT_REQUIRE_STUDIO") == "1":
        pytest.fail(f"{what}, and RAS_EXT_REQUIRE_STUDIO=1")
    pytest.skip(f"{what}; make test-studio runs this")


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The organism's studio, one for all tests of this process; a test leaves nothing that another would trip over."""
    _need(find_spec("gradio") is not None, "Gradio is not installed")
    with running_studio(tmp_path_factory.mktemp("running")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. For one module: Playwright keeps an event loop running in its thread, which tests after it may need."""
    _need(find_spec("playwright") is not None, "playwright is not installed")
    _need(find_spec("axe_playwright_python") is not None, "axe-playwright-python is not installed")
    _need(Path(CHROMIUM).exists(), f"there is no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def troubles() -> list[str]:
    """What went wrong on `page` so far; a test that means to cause some takes it out, all else fails the test."""
    return []


@pytest.fixture
def page(studio: Running, browser: Any, troubles: list[str]) -> Iterator[Any]:
    """A person's fresh browser on the studio, whose console, errors and requests are watched."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, reduced_motion="reduce")
    found = watch(context, studio.url)
    opened = context.new_page()
    try:
        enter(opened, studio.url)
        yield opened
        troubles[:0] = found
    finally:
        context.close()
    assert not troubles, "\n".join(troubles)
