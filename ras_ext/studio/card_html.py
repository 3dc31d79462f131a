"""A pack's card as HTML: foreign Markdown in which nothing runs, loads or leads anywhere by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from posixpath import normpath
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ras_ext.studio.plates import data_uri

MOST_TEXT = 200_000  # characters
MOST_PICTURES = 8
_PICTURE_BYTES = 2 << 20
_PICTURE_SIDE = 4096
_PNG = b"\x89PNG\r\n\x1a\n"
_FRONT = re.compile(r"\A---\r?\n.*?\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
# Controls, and characters that turn the direction of what stands around them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def card_html(text: str, files: Mapping[str, bytes]) -> str:
    """The card; of pictures only PNG files of the pack itself are shown, all others are their alternative text."""
    body = _UNSEEN.sub("", _FRONT.sub("", text))
    cut = "<p>The card is longer; the rest is not shown.</p>" if len(body) > MOST_TEXT else ""
    return f'<article class="ras-card" aria-label="Card">{_renderer(files).render(body[:MOST_TEXT])}{cut}</article>'


def safe_address(href: str) -> str | None:
    """The host of an https address with nothing odd in it, else None."""
    try:
        parts = urlsplit(href)
        odd = parts.username is not None or parts.password is not None or parts.port not in (None, 443)
    except ValueError:
        return None
    host = parts.hostname or ""
    return host if parts.scheme == "https" and not odd and re.fullmatch(r"[a-z0-9.-]+\.[a-z0-9-]+", host) else None


def picture(name: str, files: Mapping[str, bytes]) -> bytes | None:
    """The bytes of a PNG among the pack's files, if it is small enough to be shown."""
    data = files.get(normpath(name)) if "\\" not in name else None
    if data is None or len(data) > _PICTURE_BYTES or data[:8] != _PNG or data[12:16] != b"IHDR":
        return None
    sides = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return data if all(0 < side <= _PICTURE_SIDE for side in sides) else None


def _renderer(files: Mapping[str, bytes]) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable("table")
    shown = [0]
    hosts: list[str | None] = []

    def image(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
        token = tokens[at]
        alt = renderer.renderInlineAsText(token.children or [], options, env)
        data = picture(str(token.attrGet("src") or ""), files)
        if data is None or shown[0] >= MOST_PICTURES:
            return f'<span class="ras-absent">[picture: {escape(alt) or "without a text"}]</span>'
        shown[0] += 1
        return f'<img alt="{escape(alt)}" src="{data_uri(data)}">'

    def link_open(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
        href = str(tokens[at].attrGet("href") or "")
        host = safe_address(href)
        hosts.append(host)
        if host is None:
            return "<span>"
        return f'<a href="{escape(href)}" target="_blank" rel="noopener noreferrer nofollow">'

    def link_close(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
        host = hosts.pop() if hosts else None
        return "</span>" if host is None else f" ({escape(host)})</a>"

    def heading(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
        token = tokens[at]
        level = min(int(token.tag[1:]) + 2, 6)
        return f"<{'/' if token.nesting < 0 else ''}h{level}>"

    def code(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
        return f"<pre><code>{escape(tokens[at].content)}</code></pre>"

    def table_open(renderer: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
        frame = '<div class="ras-scroll" tabindex="0" role="region" aria-label="Table of the card">'
        return f'{frame}<table class="ras-table">'

    rules: dict[str, Any] = {
        "image": image,
        "link_open": link_open,
        "link_close": link_close,
        "heading_open": heading,
        "heading_close": heading,
        "fence": code,
        "code_block": code,
        "table_open": table_open,
        "table_close": lambda *_: "</table></div>",
    }
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    return markdown
