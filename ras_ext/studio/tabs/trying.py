"""Try: ask with a picture, and see both answers side by side, the risk, and why it is what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from ras_ext.items import Item
from ras_ext.studio import regions, remarks, showing
from ras_ext.studio.asking import Question, Told, ask, explained
from ras_ext.studio.pictures import read_picture
from ras_ext.studio.refresh import Refresh
from ras_ext.studio.studio import Studio
from ras_ext.studio.work import CancelledError, Work

KIND = "try"
_PACKS_OWN = "the pack's own"
_LONGEST = 512


def build(studio: Studio) -> Refresh:
    """Builds the tab."""
    image, harmful, last = gr.State(None), gr.State(False), gr.State(None)
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            sent = gr.File(label="Picture", height=120)
            examples = gr.Dropdown(
                [(_name(item), number) for number, item in enumerate(studio.examples)],
                value=None,
                label="Examples",
                visible=bool(studio.examples),
            )
            shown = gr.HTML(regions.picture(None, ""))
            remark = gr.HTML()
            remove = gr.Button("Remove the picture", size="sm", visible=False)
            text = gr.Textbox(label="Question", lines=1, max_lines=6)  # with one line Enter asks
            with gr.Row():
                go = gr.Button("Ask", variant="primary", min_width=100)
                stop = gr.Button("Stop", min_width=80)
            with gr.Accordion("Settings", open=False):
                model = gr.Dropdown(studio.desk.names, value=studio.desk.names[0], label="Model")
                pack = gr.Dropdown(studio.pack_choices(), value=studio.pack, label="Steering vectors")
                schedule = gr.Dropdown([_PACKS_OWN, "paper", "auto"], value=_PACKS_OWN, label="Schedule")
                tokens = gr.Slider(8, _LONGEST, value=64, step=8, label="Longest answer, in tokens")
                beside = gr.Checkbox(True, label="Answer without the defence as well")
        with gr.Column(scale=3, min_width=300):
            gauge = gr.HTML(remarks.note("Send a picture or pick an example, then ask."), padding=False)
            context = gr.HTML(padding=False)
            with gr.Row():
                with gr.Column(min_width=220):
                    plain = gr.HTML(padding=False)
                with gr.Column(min_width=220):
                    steered = gr.HTML(padding=False)
            with gr.Accordion("Why: the first words", open=False):
                words = gr.HTML(remarks.note("Ask something; here stands what the score compared."))
            with gr.Accordion("Where: attention and risk over the picture", open=False):
                look = gr.Button("Show where it looks")
                where = gr.HTML()
            with gr.Accordion("Receipt", open=False):
                slip = gr.HTML(remarks.note("Ask something; here stands the answer's receipt."))

    def receive(path: str | None) -> tuple[Any, ...]:
        try:
            with studio.uploads.taken(path) as files:
                found = read_picture(files[0])
        except Exception as error:
            return (*[gr.skip()] * 3, remarks.failed(error), gr.skip(), None, gr.skip())
        said = remarks.note(f"The picture was {found.remark}.") if found.remark else ""
        name = f"Picture sent, {found.image.width} × {found.image.height} pixels"
        return found.image, False, regions.picture(found.image, name), said, gr.update(visible=True), None, None

    def pick(number: int | None) -> tuple[Any, ...]:
        if number is None:
            return tuple([gr.skip()] * 6)
        item = studio.examples[number]
        try:
            found = _opened(item)
        except Exception as error:
            return (*[gr.skip()] * 4, remarks.failed(error), gr.skip())
        alt = f"Picture of the example {item.id}"
        bad = item.label == "unsafe"
        return found, bad, item.text, regions.picture(found, alt), "", gr.update(visible=found is not None)

    def drop() -> tuple[Any, ...]:
        return None, False, regions.picture(None, ""), "", gr.update(visible=False), None

    def answer(
        model: str,
        pack: str,
        text: str,
        image: Image.Image | None,
        schedule: str,
        tokens: float,
        beside: bool,
        harmful: bool,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        chosen = None if schedule == _PACKS_OWN else schedule
        longest = max(1, min(int(tokens), _LONGEST))
        question = Question(model, pack, text, image, chosen, longest, beside, harmful)
        visitor = str(request.session_hash)

        def work(tell: Any) -> None:
            ask(studio.desk, question, tell)

        told = Told(question)
        yield (*_shown(told), "", None)
        try:
            for told in studio.jobs.run(visitor, Work(work), KIND):
                yield (*_shown(told), "", None)
            yield (*_shown(told), "", question)
        except CancelledError:
            if not studio.jobs.running(visitor, KIND):  # else the next question is being answered already
                yield remarks.note("Stopped."), *[gr.skip()] * 5, "", None
        except Exception as error:
            yield remarks.failed(error), "", "", "", gr.skip(), gr.skip(), "", None

    def halt(request: gr.Request) -> None:
        studio.jobs.cancel(str(request.session_hash), KIND)

    def locate(question: Question | None) -> str:
        if question is None:
            return remarks.note("Ask something with a picture first.")
        try:
            found = explained(studio.desk, question)
        except Exception as error:
            return remarks.failed(error)
        assert question.image is not None
        return regions.overlays(found, question.image)

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    sent.upload(receive, [sent], [image, harmful, shown, remark, remove, sent, examples], **private)
    examples.input(pick, [examples], [image, harmful, text, shown, remark, remove], **private)
    remove.click(drop, None, [image, harmful, shown, remark, remove, examples], **private)
    inputs = [model, pack, text, image, schedule, tokens, beside, harmful]
    outputs = [gauge, context, plain, steered, words, slip, where, last]

    gr.on([go.click, text.submit], answer, inputs, outputs, trigger_mode="multiple", **private)
    stop.click(halt, None, None, **private)
    look.click(locate, [last], [where], **private)
    return Refresh(lambda: gr.Dropdown(studio.pack_choices()), [pack])


def _shown(told: Told) -> tuple[Any, ...]:
    """Gauge, context, both answers, why, receipt."""
    late = (showing.why(told.words), showing.receipt(told)) if told.stage == "done" else (gr.skip(), gr.skip())
    return showing.gauge(told), showing.seen(told), showing.undefended(told), showing.defended(told), *late


def _name(item: Item) -> str:
    return f"{item.text} ({item.kind or item.id}, {item.label})"


def _opened(item: Item) -> Image.Image | None:
    return None if item.image is None else item.request().images[0]
