"""Sentences on the page: what went wrong, what to know, how far something is. All text in them is escaped."""

from __future__ import annotations

from html import escape

from ras_ext.sentences import sentence


def failed(error: BaseException) -> str:
    """An error as one sentence, read out at once by a screen reader."""
    said = escape(sentence(error).rstrip(".") or type(error).__name__)
    return f'<p class="ras-note ras-failed" role="alert">{said[0].upper()}{said[1:]}.</p>'


def note(text: str) -> str:
    """A remark."""
    return f'<p class="ras-note" role="status">{escape(text)}</p>' if text else ""


def warned(texts: list[str], heading: str) -> str:
    """Doubts in words, as a list; nothing where there are none."""
    lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return (
        f'<div class="ras-note ras-warned" role="status"><p>{escape(heading)}</p><ul>{lines}</ul></div>'
        if texts
        else ""
    )


def progress(what: str, done: int, total: int) -> str:
    """A bar and its words."""
    share = 100 * done / total if total else 0
    return (
        f'<div class="ras-progress" role="progressbar" aria-label="{escape(what)}" aria-valuemin="0" '
        f'aria-valuemax="{total}" aria-valuenow="{done}"><p>{escape(what)}: {done} of {total}</p>'
        f'<div class="ras-track"><div style="width:{share:.1f}%"></div></div></div>'
    )
