"""How long does a person wait in the studio: for the page, for the first defended answer, and when eight ask at once?

``python benchmarks/in_studio.py [--rounds 3]`` in an environment with ``ras-ext[studio]``, playwright and Chromium
(``make test-studio`` installs them). A real studio of the organism, a new process for every round, and real pages;
times are taken in the page, from the click to the change a person sees, and the median round counts. No question is put
twice: a studio remembers what it has judged.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ras_ext.benchmark import record

RESULTS = Path(__file__).resolve().parent / "results"
PEOPLE = 8
_BARE = """
import gradio, fastapi, uvicorn
import ras_ext
ras_ext.Guard.from_pretrained("builtin:organism", "builtin:organism").generate(None, "hello", max_new_tokens=8)
"""
# Notes when the button is pressed, when the first defended word stands on the page, and when both answers do.
_WATCH = """
() => {
  const side = name => document.querySelector(`[aria-label="${name} answer"]`)?.innerText ?? '';
  const text = () => side('Defended').replace('▍', '').replace('Defended', '').replace('waiting', '').trim();
  window.seen = {};
  document.addEventListener('click', event => {
    if (event.target.innerText == 'Ask') window.seen = {click: performance.now(), cleared: !text()};
  }, true);
  new MutationObserver(() => {
    const found = window.seen;
    if (!text()) found.cleared = true;  // the answer before this one is gone
    if (!found.click || !found.cleared) return;
    if (!found.judged && document.querySelector('.ras-gauge')) found.judged = performance.now() - found.click;
    if (!found.first && text()) found.first = performance.now() - found.click;
    const written = /\\d+ tokens/.test(side('Undefended'));
    if (!found.both && found.first && written) found.both = performance.now() - found.click;
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""


@contextmanager
def a_studio(chromium: Any) -> Iterator[tuple[str, float, Any]]:
    """A new studio: its address, when its process was started, and a browser."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "RAS_EXT_HOME": f"{folder}/home", "HF_ENDPOINT": "http://127.0.0.1:9"}
        words = [sys.executable, "-m", "ras_ext.cli", "studio", "--no-browser", "--port", "0", "--json"]
        browser = chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        began = time.perf_counter()
        with subprocess.Popen(
            [*words, "--folder", f"{folder}/studio"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
        ) as process:
            try:
                assert process.stdout is not None
                yield json.loads(process.stdout.readline())["url"], began, browser
            finally:
                process.terminate()
                browser.close()


def a_person(browser: Any, url: str, which: int) -> Any:
    """A page of a person's own that has picked the example of that number."""
    page = browser.new_context().new_page()
    page.goto(url)
    page.get_by_role("button", name="Ask", exact=True).wait_for()
    page.get_by_label("Examples").click()
    page.get_by_role("option").nth(which).click()
    page.wait_for_function("() => document.querySelector('textarea').value != ''")
    page.evaluate(f"({_WATCH})()")
    return page


def asked(pages: list[Any], again: int = 0) -> list[dict[str, float]]:
    """Each page asks, one click behind the other; what each saw, in milliseconds from its own click."""
    for page in pages:
        box = page.get_by_role("textbox", name="Question")
        box.fill(box.input_value() + " ." * again)
    for page in pages:
        page.get_by_role("button", name="Ask", exact=True).click(no_wait_after=True)
    for page in pages:
        page.wait_for_function("() => window.seen.both", timeout=120_000)
    return [page.evaluate("() => window.seen") for page in pages]


def one_round(chromium: Any) -> dict[str, float]:
    """Milliseconds of one studio's life."""
    with a_studio(chromium) as (url, began, browser):
        found = {"address": 1e3 * (time.perf_counter() - began)}
        page = a_person(browser, url, 0)
        first = asked([page])[0]
        found["first answer"] = 1e3 * (time.perf_counter() - began)
        found["first ask"] = first["first"]
        alone = [asked([page], again=1)[0] for _ in range(5)]
        crowd = asked([a_person(browser, url, number) for number in range(PEOPLE)], again=9)
    for name, seen in (("alone", alone), ("eight", crowd)):
        for what in ("judged", "first", "both"):
            found[f"{name} {what}"] = statistics.median(one[what] for one in seen)
            found[f"{name} {what}, last"] = max(one[what] for one in seen)
    return found


def bare() -> float:
    """Milliseconds of a Python that imports the same libraries, opens the model and answers."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _BARE], check=True, capture_output=True)
    return 1e3 * (time.perf_counter() - began)


def in_python() -> float:
    """Median milliseconds to the first defended token of the same request in Python, without a page."""
    from transformers import TextStreamer

    import ras_ext
    from ras_ext.conversation import Request
    from ras_ext.items import load_items
    from ras_ext.organism.queries import write_set

    guard = ras_ext.Guard.from_pretrained("builtin:organism", "builtin:organism")
    with tempfile.TemporaryDirectory() as folder:
        requests: list[Request] = [
            item.request() for item in load_items(write_set("evaluation", folder, count=60)) if item.image
        ][:12]
    times: list[float] = []

    class First(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text.strip():
                seen.append(1e3 * (time.perf_counter() - began))

    for request in requests:
        seen: list[float] = []
        began = time.perf_counter()
        guard.chat(
            request.messages,
            request.images,
            max_new_tokens=64,
            streamer=First(guard.processor.tokenizer, skip_prompt=True, skip_special_tokens=True),
        )
        times.append(seen[0])
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        rounds = [(one_round(playwright.chromium), bare()) for _ in range(given.rounds)]
    found = {name: statistics.median(one[name] for one, _ in rounds) for name in rounds[0][0]}
    alone = statistics.median(one for _, one in rounds)
    guard = in_python()
    rows = [
        _row("from the command to its address", found["address"], "the same imports and one answer in Python", alone),
        _row("from the command to the first defended answer on the page", found["first answer"], "the same", alone),
        _row("click to risk, one person", found["alone judged"], "", None),
        _row("click to first defended word, one person", found["alone first"], "Guard.chat in Python", guard),
        _row("click to both answers, one person", found["alone both"], "", None),
    ]
    for what, name in (("first", "first defended word"), ("both", "both answers")):
        for which, of in ((", median", ""), (", last", ", last")):
            words = f"click to {name}, eight at once{which}"
            rows.append(_row(words, found[f"eight {what}{of}"], "one person", found[f"alone {what}"]))
    folder = record.open_folder(given.out, torch.device("cpu"))
    print(record.write(folder / "in_studio.csv", rows))
    for row in rows:
        print(f"{row['what']:60} {row['ms']:8.0f} ms   {row['beside']} {row['beside_ms'] or ''}")


def _row(what: str, ms: float, beside: str, beside_ms: float | None) -> dict[str, Any]:
    ratio = None if beside_ms is None else ms / beside_ms
    return {"what": what, "ms": ms, "beside": beside, "beside_ms": beside_ms, "ratio": ratio}


if __name__ == "__main__":
    main()
