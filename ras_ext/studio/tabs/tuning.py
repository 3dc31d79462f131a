"""The tab on which threshold and slope are moved: a set is answered or a run loaded, looked at, and saved as a pack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ras_ext.errors import InputError
from ras_ext.evaluation.report import Report
from ras_ext.items import Item
from ras_ext.studio import tuning_sets
from ras_ext.studio.outcomes import Outcomes, Setting
from ras_ext.studio.refresh import Refresh
from ras_ext.studio.remarks import failed, note
from ras_ext.studio.sent_items import items_of
from ras_ext.studio.sent_run import run_of
from ras_ext.studio.studio import Studio
from ras_ext.studio.thumbnails import Thumbnails
from ras_ext.studio.tuned_pack import Tuned
from ras_ext.studio.tuning_sets import BUILT_IN, EXAMPLES, KEPT_RUN, SENT, SENT_RUN
from ras_ext.studio.tuning_view import compared, saved_html, setting_said
from ras_ext.studio.tuning_work import SLOPE_STEP, THRESHOLD_STEP, Loaded, Told, answering, saving
from ras_ext.studio.work import CancelledError, Work

ANSWER, SAVE = "answer a set", "save what was tuned"
_INTRO = (
    "## Tune\n"
    "Move the threshold and the slope of the risk, and see what each would let through, refuse and keep useful. "
    "Every request is answered at several risks first; moving the sliders then needs no model."
)
_SET = (
    "One .jsonl file (id, image, text, label, reference, kind) and its pictures, sent together; pictures are found "
    "by their file names. They are deleted when you leave the page."
)
_RUN = (
    "The two files that `ras-ext eval` writes, items.jsonl and items.run.json, and the pictures if you want to see "
    "them or to save a pack with evidence."
)


def build(studio: Studio) -> Refresh:
    """Builds the tab."""
    pictures = Thumbnails()
    first = studio.desk.names[0]
    gr.Markdown(_INTRO)
    loaded, items, report = gr.State(None), gr.State(None), gr.State(None)
    with gr.Row():
        model = gr.Dropdown(studio.desk.names, value=first, label="Model to tune for")
        pack = gr.Dropdown(studio.pack_choices(), value=studio.pack, label="Pack to tune")
    choices = tuning_sets.sources(studio, first)
    source = gr.Radio(choices, value=choices[0][1], label="Requests")
    count = gr.Slider(
        20, 240, value=120, step=20, label="Number of requests", visible=choices[0][1] == BUILT_IN, buttons=[]
    )
    with gr.Group(visible=False) as set_group:
        gr.Markdown(_SET, padding=True)
        set_files = gr.File(
            label="Requests (.jsonl) and their pictures", file_count="multiple", height=160, elem_id="ras-tune-set"
        )
        set_said = gr.HTML()
    run = gr.Dropdown(studio.shelf.runs(), value=None, label="Run", visible=False)
    with gr.Group(visible=False) as run_group:
        gr.Markdown(_RUN, padding=True)
        run_files = gr.File(label="A run's files", file_count="multiple", height=160, elem_id="ras-tune-run")
        run_said = gr.HTML()
    with gr.Row():
        start = gr.Button("Answer the set", variant="primary")
        cancel = gr.Button("Call off the answering", interactive=False)
    status = gr.HTML()
    with gr.Column(visible=False) as bench:
        with gr.Row():
            threshold = gr.Slider(0.01, 0.99, value=0.5, step=THRESHOLD_STEP, label="Threshold S_base", buttons=[])
            slope = gr.Slider(0.5, 50, value=10, step=SLOPE_STEP, label="Slope α", buttons=[])
            back = gr.Button("Back to the pack's own", scale=0, min_width=180)
        with gr.Row():
            with gr.Column(min_width=320):
                drawing = gr.HTML()
            with gr.Column(min_width=320):
                figures = gr.HTML()
        changed = gr.HTML()
        gr.Markdown("### Save as a new version")
        with gr.Row():
            name = gr.Textbox(label="Name of the tuned pack", max_length=200)
            message = gr.Textbox(label="What this version is for (optional)", max_length=200)
        with gr.Row():
            save = gr.Button("Measure and save", variant="primary")
            stop = gr.Button("Call off the measuring", interactive=False)
    saved = gr.HTML()

    def shown(one: Loaded, setting: Setting) -> dict[Any, Any]:
        curve, table, changes = compared(one.outcomes, setting, pictures)
        return {drawing: curve, figures: table, changed: changes}

    def model_chosen(chosen: str) -> dict[Any, Any]:
        found = tuning_sets.sources(studio, chosen)
        return {source: gr.Radio(found, value=found[0][1]), **source_chosen(found[0][1])}

    def source_chosen(where: str) -> dict[Any, Any]:
        answers = where in (BUILT_IN, EXAMPLES, SENT)
        return {
            count: gr.Slider(visible=where == BUILT_IN),
            set_group: gr.Group(visible=where == SENT),
            run: gr.Dropdown(studio.shelf.runs(), visible=where == KEPT_RUN),
            run_group: gr.Group(visible=where == SENT_RUN),
            start: "Answer the set" if answers else "Load the run",
        }

    def refreshed() -> dict[Any, Any]:
        return {pack: gr.Dropdown(studio.pack_choices()), run: gr.Dropdown(studio.shelf.runs())}

    def begin(
        called: str,
        of: str,
        where: str,
        number: float,
        own: list[Item] | None,
        kept: str | None,
        sent: Report | None,
        request: gr.Request,
    ) -> Iterator[dict[Any, Any]]:
        idle = {start: gr.Button(interactive=True), cancel: gr.Button(interactive=False)}
        yield {
            status: note("Getting ready…"),
            saved: "",
            start: gr.Button(interactive=False),
            cancel: gr.Button(interactive=True),
        }
        try:
            work: Work[Told] = Work(answering(studio, called, of, where, int(number), own, kept, sent))
            found: Outcomes | None = None
            for told in studio.jobs.run(str(request.session_hash), work, ANSWER):
                found = told.made
                yield {status: told.html()}
            if found is None:
                raise CancelledError
            one = Loaded(called, of, found)
            own_at = found.own
            yield {
                **idle,
                loaded: one,
                status: note(f"{tuning_sets.said(found.items)}. Pack {found.vectors}, {setting_said(own_at)}."),
                bench: gr.Column(visible=True),
                threshold: gr.Slider(value=own_at.threshold),
                slope: gr.Slider(value=own_at.slope, maximum=max(50, round(3 * own_at.slope)), minimum=_least(own_at)),
                name: _suggested(of),
                **shown(one, own_at),
            }
        except CancelledError:
            yield {**idle, status: note("The answering was called off.")}
        except Exception as error:
            yield {**idle, status: failed(error)}

    def moved(one: Loaded | None, at: float, steep: float) -> dict[Any, Any]:
        if one is None:
            return {status: note("There is nothing to move yet; answer a set or load a run first.")}
        try:
            return shown(one, one.chosen(float(at), float(steep)))
        except Exception as error:
            return {drawing: failed(error)}

    def reset(one: Loaded | None) -> dict[Any, Any]:
        if one is None:
            return {status: note("There is nothing to go back to yet; answer a set or load a run first.")}
        own = one.outcomes.own
        return {threshold: own.threshold, slope: own.slope, **shown(one, own)}

    def keep(
        one: Loaded | None, at: float, steep: float, called: str, why: str, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        idle = {save: gr.Button(interactive=True), stop: gr.Button(interactive=False)}
        try:
            if one is None:
                raise InputError("there is nothing to save yet; answer a set or load a run first")
            yield {
                saved: note("Getting ready…"),
                save: gr.Button(interactive=False),
                stop: gr.Button(interactive=True),
            }
            setting = one.chosen(float(at), float(steep))
            work: Work[Told] = Work(saving(studio, one, setting, (called or "").strip(), (why or "").strip()))
            made: Tuned | None = None
            for told in studio.jobs.run(str(request.session_hash), work, SAVE):
                made = told.made
                yield {saved: told.html()}
            if made is None:
                raise CancelledError
            yield {**idle, saved: saved_html(made, (called or "").strip()), **refreshed()}
        except CancelledError:
            again = "What was answered is kept: saving the same again goes on from there."
            yield {**idle, saved: note(f"The measuring was called off; nothing was saved. {again}")}
        except Exception as error:
            yield {**idle, saved: failed(error)}

    def call_off(kind: str) -> Any:
        def function(request: gr.Request) -> Any:
            # What is called off says so itself; a word of ours could come behind it.
            running = studio.jobs.cancel(str(request.session_hash), kind)
            return gr.skip() if running else note("Nothing is running.")

        return function

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    where = [count, set_group, run, run_group, start]
    model.change(model_chosen, model, [source, *where], **quiet)
    source.input(source_chosen, source, where, **quiet)
    for widget, state, line, read in (
        (set_files, items, set_said, _set_sent(studio)),
        (run_files, report, run_said, _run_sent(studio)),
    ):
        widget.upload(read, widget, [state, line], api_visibility="private")
        for gone in (widget.clear, widget.delete):
            gone(lambda: (None, ""), None, [state, line], **quiet)
    view = [drawing, figures, changed]
    start.click(
        begin,
        [model, pack, source, count, items, run, report],
        [status, saved, start, cancel, loaded, bench, threshold, slope, name, *view],
        **quiet,
    )
    cancel.click(call_off(ANSWER), None, status, **quiet)
    for slider in (threshold, slope):
        # While a slider is dragged or a key held down only the newest place is looked at.
        slider.input(moved, [loaded, threshold, slope], [status, *view], trigger_mode="always_last", **quiet)
    back.click(reset, loaded, [status, threshold, slope, *view], **quiet)
    save.click(keep, [loaded, threshold, slope, name, message], [saved, save, stop, pack, run], **quiet)
    stop.click(call_off(SAVE), None, saved, **quiet)
    return Refresh(refreshed, [pack, run])


def _least(own: Setting) -> float:
    return min(0.5, round(own.slope / 2, 2))


def _suggested(pack: str) -> str:
    """A name for the tuned version of a pack: its own where it was saved here, else one beside it."""
    last = pack.rpartition("/")[2].rpartition(":")[2]
    plain = last.partition("@")[0]
    return plain if plain.endswith("-tuned") else f"{plain}-tuned"


def _set_sent(studio: Studio) -> Any:
    def read(paths: list[str] | None, request: gr.Request) -> tuple[list[Item] | None, str]:
        try:
            with studio.uploads.taken(paths) as files:
                items = items_of(files, studio.uploads, str(request.session_hash))
            return items, note(f"{tuning_sets.said(items)}.")
        except Exception as error:
            return None, failed(error)

    return read


def _run_sent(studio: Studio) -> Any:
    def read(paths: list[str] | None, request: gr.Request) -> tuple[Report | None, str]:
        try:
            with studio.uploads.taken(paths) as files:
                report = run_of(files, studio.uploads, str(request.session_hash))
            names = ", ".join(row.defense for row in report.rows)
            left = f" {report.missing} requests are left out: not every defence has answered them." * bool(
                report.missing
            )
            return report, note(f"{tuning_sets.said(report.items)}, answered by {names}.{left}")
        except Exception as error:
            return None, failed(error)

    return read
