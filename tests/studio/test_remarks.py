"""Sentences on the page: foreign text is text, and every error is one sentence."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from ras_ext.errors import InputError
from ras_ext.studio.plates import figure, table
from ras_ext.studio.remarks import failed, note, progress, warned

HOSTILE = "<img src=x onerror=alert(1)>\"'&<script>"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> _Tags:
    found = _Tags()
    found.feed(html)
    return found


@pytest.mark.parametrize(
    "html",
    [
        failed(InputError(HOSTILE)),
        failed(ValueError(HOSTILE)),
        note(HOSTILE),
        warned([HOSTILE], HOSTILE),
        progress(HOSTILE, 1, 2),
        table(HOSTILE, [HOSTILE], [[HOSTILE, HOSTILE]]),
        figure(lambda theme: b"png", HOSTILE),
    ],
)
def test_foreign_text_is_never_markup(html: str) -> None:
    found = parsed(html)
    assert "script" not in found.tags
    assert "onerror" not in found.attributes
    assert found.tags.count("img") == html.count("data:image/png")
    assert "<img src=x" in found.text or 'aria-label="&lt;img' in html


def test_an_error_is_one_sentence_that_begins_large_and_ends_with_one_full_stop() -> None:
    assert parsed(failed(InputError("the file is empty; send one"))).text == "The file is empty; send one."
    assert parsed(failed(InputError("it ends already."))).text == "It ends already."
    assert parsed(failed(InputError("<b> is no name"))).text == "<b> is no name."
    assert 'role="alert"' in failed(InputError("x"))


def test_an_error_without_words_still_says_something() -> None:
    assert parsed(failed(InputError(""))).text == "InputError."
    assert "RuntimeError" in parsed(failed(RuntimeError())).text


def test_nothing_to_say_is_nothing_on_the_page() -> None:
    assert note("") == warned([], "Doubts:") == ""


def test_progress_is_said_in_numbers_and_to_screen_readers() -> None:
    html = progress("Answering", 3, 12)
    assert parsed(html).text == "Answering: 3 of 12"
    assert 'aria-valuenow="3"' in html
    assert 'aria-valuemax="12"' in html
    assert "width:25.0%" in html
    assert "width:0.0%" in progress("Nothing yet", 0, 0)
