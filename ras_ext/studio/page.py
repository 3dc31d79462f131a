"""The page: four tabs over one studio."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ras_ext.studio.studio import Studio
from ras_ext.studio.tabs import calibrating, registry, trying, tuning

TITLE = "RAS studio"
_INTRO = (
    "# RAS studio\n"
    "Risk-adaptive activation steering: judge a request from the model's own first words, and pull its answer toward "
    "refusal by as much as the request is risky."
)
_FORGET = (60, 900)  # seconds: how often Gradio looks for files it still holds, and how old they may grow


def build(studio: Studio) -> Any:
    """The page as Gradio blocks."""
    with gr.Blocks(analytics_enabled=False, title=TITLE, delete_cache=_FORGET) as page:
        gr.Markdown(_INTRO)
        with gr.Tabs():
            for name, tab in (("Try", trying), ("Tune", tuning), ("Calibrate", calibrating), ("Registry", registry)):
                with gr.Tab(name) as shown:
                    refresh = tab.build(studio)
                if refresh is not None:
                    # What was saved or pulled on one tab is there when another is opened, and when the page is.
                    gr.on(
                        [page.load, shown.select],
                        refresh.function,
                        list(refresh.inputs),
                        refresh.outputs,
                        api_visibility="private",
                        show_progress="hidden",
                    )

        def leave(request: gr.Request) -> None:
            studio.leave(str(request.session_hash))

        page.unload(leave)
    # Every visitor's events run at once; the models' own turns put them in line.
    return page.queue(default_concurrency_limit=None, max_size=256, api_open=False)
