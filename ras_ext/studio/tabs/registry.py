"""The tab on packs: find and read them, compare, pull, verify and publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from ras_ext.errors import InputError
from ras_ext.registry import diff_packs
from ras_ext.studio.patience import within
from ras_ext.studio.places import HUB, LABELS, MACHINE, MOST, SAVED, TEAM, Entry, Places
from ras_ext.studio.public_keys import read_public_key
from ras_ext.studio.publishing import Order, Rehearsal, publish, rehearse
from ras_ext.studio.refresh import Refresh
from ras_ext.studio.registry_view import difference, facts, published, seen_html, verified
from ras_ext.studio.remarks import failed, note
from ras_ext.studio.studio import Studio

_LISTING, _FETCHING, _WRITING = 10.0, 120.0, 300.0  # seconds that a place is waited for
_INTRO = (
    "## Registry\n"
    "Find packs on this machine, in a team's registry and on the Hub; read what they are, compare two, bring one here, "
    "check it, and publish your own. Looking at a pack keeps nothing; only a pull does."
)
_PUBLISH = (
    "A dry run shows what would be written; publishing then does exactly that, and nothing else. The Hub's token is "
    "the one of this machine."
)
_PRIVATE, _PUBLIC = "its owner only (private)", "everybody (public)"
_REACH = "check the network and HF_ENDPOINT, then try again"
_LATER = "try again later"
_AGAIN = "a dry run shows whether it arrived all the same"


def build(studio: Studio) -> Refresh:
    """Builds the tab."""
    places = Places(studio)
    offered = places.offered()
    targets = [place for place in (TEAM, HUB) if place in offered]
    gr.Markdown(_INTRO)
    keys, rehearsal = gr.State(None), gr.State(None)
    place = gr.Radio([(LABELS[one], one) for one in offered], value=MACHINE, label="Where")
    with gr.Row():
        words = gr.Textbox(label="Words of the name (all, if empty)", max_length=100, scale=3)
        find = gr.Button("List the packs", scale=1, min_width=140)
    status = gr.HTML()
    pack = gr.Dropdown(
        _choices(_listed(places, MACHINE)),
        value=None,
        allow_custom_value=True,
        label="Pack (pick one; elsewhere than here also owner/name@v2, typed)",
    )
    with gr.Row():
        read = gr.Button("Read its card", variant="primary", min_width=120)
        fetch = gr.Button("Pull it to this machine", interactive=False, min_width=120)
        check = gr.Button("Verify it", min_width=120)
    with gr.Accordion("A publisher's public key to verify with (optional)", open=False):
        key_file = gr.File(label="Public key (PEM)", height=120, elem_id="ras-registry-key")
        key_said = gr.HTML()
    result = gr.HTML()
    gr.Markdown("### Compare")
    with gr.Row():
        other = gr.Dropdown(_both(places), value=None, label="Compare the pack above with", scale=3)
        compare = gr.Button("Compare", scale=1, min_width=140)
    compared = gr.HTML()
    gr.Markdown(f"### Publish\n{_PUBLISH}")
    what = gr.Dropdown(_both(places), value=None, label="Pack to publish")
    name = gr.Textbox(label="Name there (owner/name)", max_length=200)
    with gr.Row():
        to = gr.Radio([(LABELS[one], one) for one in targets], value=next(iter(targets), None), label="Publish to")
        sight = gr.Radio(
            [_PRIVATE, _PUBLIC],
            value=_PRIVATE,
            label="If this makes a new repository, it may be seen by",
            visible=targets[:1] == [HUB],
        )
    message = gr.Textbox(label="What is new in this version (optional)", max_length=200)
    sign = gr.Checkbox(False, label="Sign it with the studio's key", visible=studio.signing is not None)
    with gr.Row():
        dry = gr.Button("Dry run", variant="primary", min_width=120)
        go = gr.Button("Publish", interactive=False, min_width=120)
    done = gr.HTML()

    def bad(error: Exception) -> str:
        return failed(places.hidden(error))

    def list_packs(where: str, text: str) -> Iterator[dict[Any, Any]]:
        try:
            label = LABELS[places.check(where)]
            yield {status: note(f"{label}: asking…")}
            asked = "the Hub's list of packs" if where == HUB else "the list of packs"
            found = within(
                _LISTING, asked, lambda: places.listed(where, text or ""), _REACH if where == HUB else _LATER
            )
            yield {
                status: note(_counted(found, where, text or "")),
                pack: gr.Dropdown(_choices(found), value=found[0].key if len(found) == 1 else None),
                other: gr.Dropdown(_both(places, where, found)),
            }
        except Exception as error:
            yield {status: bad(error), pack: gr.Dropdown([], value=None)}

    def place_chosen(where: str) -> Iterator[dict[Any, Any]]:
        idle = {fetch: gr.Button(interactive=where in (TEAM, HUB)), result: "", compared: ""}
        if where != HUB:  # nobody is asked over a network before somebody says so
            yield idle
            yield from list_packs(where, "")
            return
        yield {
            **idle,
            status: note("List the packs, or write the name of one below."),
            pack: gr.Dropdown([], value=None),
        }

    def waiting(widget: Any, said: str, work: Callable[[], dict[Any, Any]]) -> Iterator[dict[Any, Any]]:
        yield {widget: note(said)}
        try:
            yield work()
        except Exception as error:
            yield {widget: bad(error)}

    def show(where: str, called: str | None) -> Iterator[dict[Any, Any]]:
        def work() -> dict[Any, Any]:
            key = _picked(called)
            seen = within(_FETCHING, "reading the pack", lambda: places.seen(where, key))
            past = within(_LISTING, "the history of the pack", lambda: places.past(where, key))
            bare = key.partition("@")[0]
            versions = [Entry(f"{bare}@{tag}", bare) for one in past for tag in one.tags] if where != MACHINE else []
            return {result: seen_html(seen, past), other: gr.Dropdown(_both(places, where, versions))}

        yield from waiting(result, "Reading it…", work)

    def bring(where: str, called: str | None) -> Iterator[dict[Any, Any]]:
        def work() -> dict[Any, Any]:
            seen = within(_FETCHING, "the pull", lambda: places.pulled(where, _picked(called)))
            said = f"Pulled: its name means these bytes on this machine from now on (digest {seen.pack.digest[:12]}"
            said += f", revision {(seen.revision or '')[:12]}). It can be chosen on the other tabs."
            local = _both(places)
            return {result: note(said) + facts(seen), what: gr.Dropdown(local), other: gr.Dropdown(local)}

        yield from waiting(result, "Fetching it…", work)

    def examine(where: str, called: str | None, pem: str | None) -> Iterator[dict[Any, Any]]:
        def work() -> dict[Any, Any]:
            key = _picked(called)
            given = (pem,) if pem else ()
            found = within(_FETCHING, "the check", lambda: places.verified(where, key, given))
            return {result: places.without_paths(verified(key, found))}

        yield from waiting(result, "Checking every file…", work)

    def side_by_side(where: str, called: str | None, second: str | None) -> Iterator[dict[Any, Any]]:
        def work() -> dict[Any, Any]:
            key = _picked(called)
            if not second:
                raise InputError("there is nothing to compare it with; choose the second pack")
            there, _, called_there = second.partition(" ")
            a = within(_FETCHING, "reading the first pack", lambda: places.seen(where, key))
            b = within(_FETCHING, "reading the second pack", lambda: places.seen(there, called_there))
            return {compared: difference(key, called_there, diff_packs(a.pack, b.pack))}

        yield from waiting(compared, "Comparing…", work)

    def order_of(chosen: str | None, target: str, called: str, seen_by: str, why: str, signed: bool) -> Order:
        if not chosen:
            raise InputError("there is no pack to publish yet; choose one")
        where, _, key = chosen.partition(" ")
        private = seen_by != _PUBLIC
        return Order(where, key, target, (called or "").strip(), (why or "").strip(), private, bool(signed))

    def try_out(*settings: Any) -> Iterator[dict[Any, Any]]:
        yield {done: note("Trying it out…"), go: gr.Button(interactive=False), rehearsal: None}
        try:
            order = order_of(*settings)
            shown = within(_FETCHING, "the dry run", lambda: rehearse(studio, places, order))
            yield {
                done: published(shown.shown, order.to),
                go: gr.Button(interactive=not shown.shown.unchanged),
                rehearsal: shown,
            }
        except Exception as error:
            yield {done: bad(error)}

    def carry_out(shown: Rehearsal | None, *settings: Any) -> Iterator[dict[Any, Any]]:
        yield {done: note("Publishing it…"), go: gr.Button(interactive=False)}
        try:
            order = order_of(*settings)
            found = within(_WRITING, "the push", lambda: publish(studio, places, order, shown), _AGAIN)
            yield {done: published(found, order.to), rehearsal: None}
        except Exception as error:
            yield {done: bad(error), rehearsal: None}

    def key_sent(path: str | None) -> tuple[str | None, str]:
        try:
            with studio.uploads.taken(path) as (file,):
                return read_public_key(file), note(f"Verify asks for a signature by the key in {file.name}.")
        except Exception as error:
            return None, bad(error)

    def refreshed(where: str) -> dict[Any, Any]:
        local = _both(places)
        found = {what: gr.Dropdown(local), other: gr.Dropdown(local)}
        return {**found, pack: gr.Dropdown(_choices(_listed(places, where)))} if where in (MACHINE, SAVED) else found

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([find.click, words.submit], list_packs, [place, words], [status, pack, other], **quiet)
    place.change(place_chosen, place, [status, pack, other, fetch, result, compared], **quiet)
    read.click(show, [place, pack], [result, other], **quiet)
    fetch.click(bring, [place, pack], [result, what, other], **quiet)
    check.click(examine, [place, pack, keys], result, **quiet)
    compare.click(side_by_side, [place, pack, other], compared, **quiet)
    key_file.upload(key_sent, key_file, [keys, key_said], **quiet)
    for gone in (key_file.clear, key_file.delete):
        gone(lambda: (None, ""), None, [keys, key_said], **quiet)
    settings = [what, to, name, sight, message, sign]
    # Another setting, pasted or typed, needs a dry run of its own; the push compares once more by itself.
    gr.on([one.change for one in settings], lambda: gr.Button(interactive=False), None, go, **quiet)
    to.input(lambda target: gr.Radio(visible=target == HUB), to, sight, **quiet)
    what.input(_suggested, [what, name], name, **quiet)
    dry.click(try_out, settings, [done, go, rehearsal], **quiet)
    go.click(carry_out, [rehearsal, *settings], [done, go, rehearsal], **quiet)
    return Refresh(refreshed, [what, other, pack], (place,))


def _picked(key: str | None) -> str:
    if not (key or "").strip():
        raise InputError("no pack is chosen; pick one from the list, or write its name")
    return str(key).strip()


def _listed(places: Places, place: str) -> list[Entry]:
    try:
        return places.listed(place)
    except Exception:  # said where somebody asks for the list
        return []


def _choices(found: list[Entry]) -> list[tuple[str, str]]:
    return [(one.label, one.key) for one in found]


def _both(places: Places, place: str = MACHINE, more: list[Entry] | None = None) -> list[tuple[str, str]]:
    """Packs of this machine, behind those of another place: (label, "place key")."""
    beside = [(one, place) for one in (more or []) if place not in (MACHINE, SAVED)]
    local = [(one, where) for where in (SAVED, MACHINE) for one in _listed(places, where)]
    return [(f"{LABELS[where]}: {one.label}", f"{where} {one.key}") for one, where in beside + local]


def _counted(found: list[Entry], place: str, words: str) -> str:
    if not found:
        return "No pack fits." if words.strip() else "There are no packs yet."
    count = f"{len(found)} packs" if len(found) > 1 else "One pack"
    return f"{count}; pick one below." + " There may be more: name more words." * (place == HUB and len(found) == MOST)


def _suggested(chosen: str | None, written: str) -> Any:
    """The chosen pack's own name, where nothing was written yet."""
    if written or not chosen:
        return gr.skip()
    return chosen.partition(" ")[2].partition("@")[0].partition(" ")[0].removeprefix("builtin:")
