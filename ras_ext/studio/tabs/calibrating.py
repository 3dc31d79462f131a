"""The tab that makes steering vectors for a model: what to calibrate on, the run, what it found, saving."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ras_ext.items import Item
from ras_ext.studio.calibrating import (
    ORGANISM,
    SCHEDULES,
    Order,
    Queries,
    Told,
    check,
    organism_queries,
    run,
    suggested_name,
)
from ras_ext.studio.calibration_view import progress_html, result_html
from ras_ext.studio.query_files import read_query_file
from ras_ext.studio.remarks import failed, note
from ras_ext.studio.sent_items import items_of
from ras_ext.studio.studio import Studio
from ras_ext.studio.work import CancelledError, Work
from ras_ext.vectors import SteeringVectors

KIND = "calibrate"
OWN = "My own files"
_ORGANISMS = "The organism's own: 50 + 50 text queries, 120 labelled requests"
_BUILT_IN = "The built-in lists: everyday and policy-violating text queries"
_INTRO = (
    "## Calibrate\n"
    "Makes steering vectors for a model from forward passes alone: how it refuses in words, where the risk's baseline "
    "lies, and how many tokens have to be steered. Nothing is trained, and the model can be used meanwhile."
)
_FILES = (
    "Text files hold one query a line, in UTF-8; the unsafe ones should name a category and a wish, never a way. "
    "A list that is not sent is taken from the model's default. Labelled requests are one .jsonl file "
    "(id, image, text, label, reference, kind) and its pictures, sent together; images are found by their file names."
)
_SCHEDULES = {
    "auto": "auto: try longer ones, keep the shortest that keeps harm out",
    "paper": "paper: three tokens, as published",
}


def build(studio: Studio) -> None:
    """Builds the tab."""
    gr.Markdown(_INTRO)
    first = studio.desk.names[0]
    unsafe, safe, images, made = gr.State(None), gr.State(None), gr.State(None), gr.State(None)
    with gr.Row():
        model = gr.Dropdown(studio.desk.names, value=first, label="Model to calibrate")
        name = gr.Textbox(suggested_name(first), label="Name of the pack", max_length=200)
    source = gr.Radio(_sources(first), value=_sources(first)[0], label="Queries")
    with gr.Group(visible=False) as files:
        gr.Markdown(_FILES, padding=True)
        said = [gr.HTML(), gr.HTML(), gr.HTML()]
        with gr.Row():
            unsafe_file = gr.File(
                label="Unsafe queries (.txt)", file_types=[".txt"], height=140, elem_id="ras-calibrate-unsafe"
            )
            safe_file = gr.File(
                label="Safe queries (.txt)", file_types=[".txt"], height=140, elem_id="ras-calibrate-safe"
            )
        items_files = gr.File(
            label="Labelled requests (.jsonl and its pictures), optional",
            file_count="multiple",
            height=180,
            elem_id="ras-calibrate-requests",
        )
        forget = gr.Button("Forget what was sent", size="sm")
    with gr.Row():
        schedule = gr.Radio([(_SCHEDULES[one], one) for one in SCHEDULES], value="auto", label="Schedule")
        licence = gr.Textbox(label="Licence of the pack (optional)", placeholder="apache-2.0", max_length=100)
    regions = gr.Checkbox(
        True, label="With labelled pictures, also find where in an image the risk is (two more passes)"
    )
    with gr.Row():
        start = gr.Button("Calibrate", variant="primary")
        cancel = gr.Button("Call off", interactive=False)
    status, result = gr.HTML(), gr.HTML()
    with gr.Group(visible=False) as saving:
        message = gr.Textbox(label="What is new in this version (optional)", max_length=200)
        save = gr.Button("Save as a pack", variant="primary")
    saved = gr.HTML()

    def model_chosen(chosen: str) -> dict[Any, Any]:
        choices = _sources(chosen)
        return {
            source: gr.Radio(choices, value=choices[0]),
            files: gr.Group(visible=False),
            name: suggested_name(chosen),
        }

    def begin(
        chosen: str,
        called: str,
        where: str,
        bad: list[str] | None,
        good: list[str] | None,
        labelled: list[Item] | None,
        kind: str,
        under: str,
        with_regions: bool,
        request: gr.Request,
    ) -> Iterator[dict[Any, Any]]:
        order = Order(chosen, (called or "").strip(), kind, (under or "").strip() or None, regions=bool(with_regions))
        idle = {start: gr.Button(interactive=True), cancel: gr.Button(interactive=False)}
        try:
            check(order, studio.desk.names)
            own = Queries(bad, good, labelled) if where == OWN else None
            yield {
                status: note("Getting ready…"),
                saved: "",
                start: gr.Button(interactive=False),
                cancel: gr.Button(interactive=True),
            }
            found: SteeringVectors | None = None
            for told in studio.jobs.run(str(request.session_hash), Work(_work(studio, order, own)), KIND):
                found = told.vectors
                yield {status: progress_html(told)}
            if found is None:
                raise CancelledError
            done = note(f"{chosen} is calibrated; nothing is kept until it is saved.")
            yield {**idle, status: done, result: result_html(found), made: found, saving: gr.Group(visible=True)}
        except CancelledError:
            yield {**idle, status: note("The calibration was called off.")}
        except Exception as error:
            yield {**idle, status: failed(error)}

    def call_off(request: gr.Request) -> Any:
        # What is called off says so itself; a word of ours could come behind it.
        running = studio.jobs.cancel(str(request.session_hash), KIND)
        return gr.skip() if running else note("Nothing is running.")

    def keep(vectors: SteeringVectors | None, chosen: str, called: str, what: str) -> str:
        try:
            called = (called or "").strip()
            check(Order(chosen, called), studio.desk.names)
            if vectors is None:
                return note("There is nothing to save yet; calibrate first.")
            published = studio.shelf.save(
                replace(vectors, name=called.rpartition("/")[2]),
                called,
                (what or "").strip() or "Calibrated in the studio",
            )
            if published.unchanged:
                return note(f"Nothing is new: {called}@{published.tag} holds exactly these vectors already.")
            return note(
                f"Saved as {called}@{published.tag} (digest {published.digest[:12]}). It can be chosen on the other "
                "tabs and published on Registry."
            )
        except Exception as error:
            return failed(error)

    model.change(model_chosen, model, [source, files, name], api_visibility="private", show_progress="hidden")
    source.change(
        lambda where: gr.Group(visible=where == OWN), source, files, api_visibility="private", show_progress="hidden"
    )
    for widget, state, line, what in (
        (unsafe_file, unsafe, said[0], "unsafe queries"),
        (safe_file, safe, said[1], "safe queries"),
    ):
        widget.upload(_list_sent(studio, what), widget, [state, line, widget], api_visibility="private")
    items_files.upload(_items_sent(studio), items_files, [images, said[2], items_files], api_visibility="private")
    sent = [unsafe, safe, images, *said]
    forget.click(_forgotten, None, sent, api_visibility="private", show_progress="hidden")
    inputs = [model, name, source, unsafe, safe, images, schedule, licence, regions]
    outputs = [status, result, saved, made, saving, start, cancel]
    start.click(begin, inputs, outputs, api_visibility="private", show_progress="hidden")
    cancel.click(call_off, None, status, api_visibility="private", show_progress="hidden")
    save.click(keep, [made, model, name, message], saved, api_visibility="private", show_progress="hidden")


def _sources(model: str) -> list[str]:
    return [_ORGANISMS if model == ORGANISM else _BUILT_IN, OWN]


def _work(studio: Studio, order: Order, own: Queries | None) -> Any:
    """The calibration, with the organism's own set where nothing else was sent."""

    def function(tell: Any) -> None:
        with tempfile.TemporaryDirectory(dir=studio.uploads.folder) as scratch:
            tell(Told())
            default = organism_queries(Path(scratch)) if order.model == ORGANISM else Queries()
            run(studio.desk, replace(order, queries=default if own is None else _filled(own, default)), tell)

    return function


def _filled(own: Queries, default: Queries) -> Queries:
    """What was sent, and the default lists for those that were not; pictures are only ever those that were sent."""
    return Queries(own.unsafe or default.unsafe, own.safe or default.safe, own.images, default.prompts)


def _list_sent(studio: Studio, what: str) -> Any:
    def read(path: str | None) -> tuple[list[str] | None, str, None]:  # the last empties the box: the file is gone
        try:
            with studio.uploads.taken(path) as (file,):
                queries = read_query_file(file)
            return queries, note(f"{len(queries)} {what} were read from {file.name}."), None
        except Exception as error:
            return None, failed(error), None

    return read


def _items_sent(studio: Studio) -> Any:
    def read(paths: list[str] | None, request: gr.Request) -> tuple[list[Item] | None, str, None]:
        try:
            with studio.uploads.taken(paths) as files:
                items = items_of(files, studio.uploads, str(request.session_hash))
            bad = sum(item.label == "unsafe" for item in items)
            return (
                items,
                note(f"{len(items)} labelled requests were read: {bad} unsafe, {len(items) - bad} safe."),
                None,
            )
        except Exception as error:
            return None, failed(error), None

    return read


def _forgotten() -> tuple[None, None, None, str, str, str]:
    return None, None, None, note("Nothing that was sent is used."), "", ""
