"""The Registry tab as a person uses it: list, read, compare, verify, dry run, publish, pull; and a hostile card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ras_ext import load_vectors
from ras_ext.registry import FolderRegistry, RawTensor, push, write_pack
from ras_ext.registry.names import builtin_root
from ras_ext.registry.pack import Pack, read_pack
from ras_ext.registry.trust import make_key_pair
from ras_ext.studio.shelf import Shelf
from tests.studio.browser.browsing import WIDE, enter, everywhere, look, open_tab, watch
from tests.studio.browser.studio_process import Running, running_studio

LONG = 30_000  # milliseconds; a slow machine answers slowly
ORGANISM = builtin_root() / "organism" / "pack"
HOSTILE = """# Hostile

<script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">

${window.hurt = 1} {{#each value}}{{this}}{{/each}} {{value}} ${value} <%= 1 %> `${window.hurt = 1}`

![far](https://example.org/far.png) [run](javascript:window.hurt=1) [away](https://example.org/)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry-tab")


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Running]:
    """A studio of a team, with a key to sign with, one pack saved and a hostile one in the team's registry."""
    pytest.importorskip("gradio")
    pytest.importorskip("model_signing")
    make_key_pair(place / "me.key", place / "me.pub")
    make_key_pair(place / "other.key", place / "other.pub")
    steeper = replace(load_vectors("builtin:organism"), alpha=5.0)
    Shelf(place / "studio").save(steeper, "steeper", "a steeper slope")
    push(hostile(place / "hostile").path, "team/hostile", registry=place / "team", cache_dir=place / "colleague")
    arguments = ("--registry", str(place / "team"), "--sign", str(place / "me.key"))
    with running_studio(place, *arguments) as found:
        yield found


def hostile(folder: Path) -> Pack:
    """A sound pack whose card means harm."""
    pack = read_pack(ORGANISM)
    config = {name: value for name, value in pack.config.items() if name != "files"}
    tensors = {name: RawTensor(one.dtype, one.shape, one.data) for name, one in pack.tensors.items()}
    return write_pack(folder, config, tensors, {"README.md": HOSTILE.encode()})


@pytest.fixture
def visit(running: Running, browser: Any) -> Iterator[Any]:
    """A person's page on that studio's Registry tab; any trouble on it fails the test."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, reduced_motion="reduce")
    troubles = watch(context, running.url)
    page = context.new_page()
    try:
        enter(page, running.url)
        open_tab(page, "Registry")
        yield page
    finally:
        context.close()
    assert not troubles, "\n".join(troubles)


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def where(page: Any, name: str) -> None:
    """Chooses a place and waits for its list."""
    page.get_by_role("group", name="Where").or_(page.locator("fieldset", has_text="Where")).first.get_by_label(
        name, exact=True
    ).check()
    page.get_by_text("pick one below").wait_for(timeout=LONG)


def pick(page: Any, label: str, option: str) -> None:
    page.get_by_label(label).click()
    page.get_by_role("option").filter(has_text=option).first.click()


def said(page: Any, text: str) -> None:
    page.get_by_text(text).first.wait_for(timeout=LONG)


def test_a_pack_is_listed_read_compared_and_verified(visit: Any, running: Running) -> None:
    where(visit, "Saved in this studio")
    assert visit.get_by_label("Pack (pick one").input_value().startswith("steeper@v1")
    button(visit, "Read its card").click()
    visit.locator("article.ras-card").wait_for(timeout=LONG)
    assert "a steeper slope" in visit.get_by_role("table", name="Versions, newest first").inner_text()
    everywhere(visit, "registry-card")
    pick(visit, "Compare the pack above with", "This machine: builtin:organism")
    button(visit, "Compare").click()
    said(visit, "have different content")
    assert "method.alpha" in visit.get_by_role("table", name="What differs").inner_text()
    everywhere(visit, "registry-compared")
    button(visit, "Verify it").click()
    said(visit, "steeper@v1 is sound")
    assert str(running.folder.parent) not in visit.content()


def test_a_pack_is_published_only_as_its_dry_run_showed_and_then_pulled(visit: Any, place: Path) -> None:
    pick(visit, "Pack to publish", "steeper@v1")
    name = visit.get_by_label("Name there (owner/name)")
    visit.wait_for_function(
        "() => [...document.querySelectorAll('input,textarea')].some(one => one.value == 'steeper')"
    )
    assert button(visit, "Publish").is_disabled()
    name.fill("../out")
    button(visit, "Dry run").click()
    said(visit, "A pack is named owner/name or name")
    name.fill("team/steeper")
    visit.get_by_label("Sign it with the studio's key").check()
    button(visit, "Dry run").click()
    said(visit, "A dry run, nothing was written")
    everywhere(visit, "registry-dry-run")
    registry = FolderRegistry(place / "team")
    assert registry.names() == ["team/hostile"]
    name.fill("team/steep")
    visit.wait_for_function(
        "() => [...document.querySelectorAll('button')].find(one => one.innerText == 'Publish').disabled"
    )
    button(visit, "Dry run").click()
    said(visit, "team/steep would be published")
    button(visit, "Publish").click()
    said(visit, "Published: team/steep v1")
    look(visit, "registry-published")
    assert registry.names() == ["team/hostile", "team/steep"]
    where(visit, "The team's registry")
    pick(visit, "Pack (pick one", "team/steep")
    button(visit, "Pull it to this machine").click()
    said(visit, "Pulled: its name means these bytes")
    open_tab(visit, "Try")  # its list of packs knows of it without a reload
    visit.get_by_role("button", name="Settings").click()
    visit.get_by_label("Steering vectors").click()
    visit.get_by_role("option").filter(has_text="steeper@v1").first.wait_for(timeout=LONG)
    assert visit.get_by_role("option").filter(has_text="team/steep").count() == 1


def test_a_signature_is_checked_with_a_key_that_is_sent_and_deleted(visit: Any, place: Path, running: Running) -> None:
    push(ORGANISM, "team/signed", registry=place / "team", sign_key=place / "me.key", cache_dir=place / "colleague")
    where(visit, "The team's registry")
    pick(visit, "Pack (pick one", "team/signed")
    visit.get_by_role("button", name="A publisher's public key").click()
    field = visit.locator("#ras-registry-key input[type=file]")
    field.set_input_files(place / "me.key")
    said(visit, "holds a private key")
    visit.locator("#ras-registry-key").get_by_role("button", name="Clear").or_(
        visit.locator("#ras-registry-key button[aria-label*=emove]")
    ).first.click()
    field.set_input_files(place / "other.pub")
    said(visit, "by the key in other.pub")
    button(visit, "Verify it").click()
    said(visit, "team/signed must not be used")
    assert running.uploads() == []


def test_a_hostile_card_does_nothing_and_loads_nothing(visit: Any) -> None:
    where(visit, "The team's registry")
    pick(visit, "Pack (pick one", "team/hostile")
    button(visit, "Read its card").click()
    card = visit.locator("article.ras-card")
    card.wait_for(timeout=LONG)
    text = card.inner_text()
    for part in ("<script>window.hurt = 1</script>", "${window.hurt = 1}", "{{value}}", "${value}", "[picture: far]"):
        assert part in text, part
    assert visit.evaluate("window.hurt") is None
    assert card.locator("img, script").count() == 0
    assert [one.get_attribute("href") for one in card.locator("a").all()] == ["https://example.org/"]


def test_names_are_typed_by_keyboard_and_paths_refused(visit: Any) -> None:
    where(visit, "The team's registry")
    field = visit.get_by_label("Pack (pick one")
    for name, answer in (("/etc/passwd", "A pack is named"), ("team/none", "holds no pack team/none")):
        field.click()
        field.fill(name)
        field.press("Enter")
        button(visit, "Read its card").focus()
        visit.keyboard.press("Enter")
        said(visit, answer)


def test_a_hub_that_cannot_be_reached_is_one_sentence(visit: Any) -> None:
    visit.get_by_label("The Hub", exact=True).first.check()
    said(visit, "List the packs, or write the name of one below.")
    button(visit, "List the packs").click()
    visit.locator(".ras-failed").wait_for(timeout=LONG)
    assert "Hub" in visit.locator(".ras-failed").inner_text()
