"""A card is foreign text: nothing in it runs, loads, leads away by itself, or breaks out of its place."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ras_ext.registry.names import builtin_root
from ras_ext.registry.pack import read_pack
from ras_ext.studio.card_html import MOST_PICTURES, card_html, safe_address

ALLOWED = {"article", "h3", "h4", "h5", "h6", "p", "a", "span", "img", "em", "strong", "code", "pre", "ul", "ol", "li"}
ALLOWED |= {"blockquote", "hr", "br", "div", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "aria-label", "tabindex", "role", "alt", "src", "href", "target", "rel", "style", "start"}


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def png(width: int = 4, height: int = 4) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def elements(text: str, **files: bytes) -> list[tuple[str, dict[str, str | None]]]:
    found = Elements(card_html(text, {name.replace("__", "/") + ".png": data for name, data in files.items()})).found
    for tag, attributes in found:
        assert tag in ALLOWED, tag
        assert set(attributes) <= ATTRIBUTES, attributes
        assert re.fullmatch(r"text-align:(left|right|center)", attributes.get("style") or "text-align:left")
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        if "href" in attributes:
            assert str(attributes["href"]).startswith("https://")
            assert attributes["rel"] == "noopener noreferrer nofollow"
    return found


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<iframe src='https://example.org'></iframe>",
        "<style>body { display: none }</style>",
        "</article></div><h1>RAS studio</h1>",
        "<!-- a --><svg onload=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](vbscript:x)",
        "[a](file:///etc/passwd)",
        "[a](//example.org/x)",
        "[a](http://example.org)",
        "[a](/gradio_api/upload)",
        "[a](https://user:pw@example.org)",
        "[a](https://example.org:8443/)",
        "[a](https://127.0.0.1:80/)",
        '[a](https://example.org "x\\" onclick=\\"alert(1)")',
        '[a](https://example.org/"onclick="alert(1))',
        "![a](https://example.org/track.png)",
        "![a](//example.org/track.png)",
        "![a](data:image/svg+xml;base64,PHN2Zz4=)",
        "![a](data:image/png;base64,iVBORw0KGgo=)",
        "![a](../../etc/passwd.png)",
        "![a](evidence/../../secret.png)",
        '![" onerror="alert(1)](evidence/missing.png)',
        '```html" onclick="alert(1)\n<b>\n```',
        "``` ras-failed\nx\n```",
        "| <b>a</b> |\n|---|\n| <i>b</i> |",
        "<https://example.org/<script>>",
        "<javascript:alert(1)>",
        "# <script>x</script>",
        "[x]: javascript:alert(1)\n\n[x]",
        ">" * 500 + "deep",
        "[" * 3000,
        "*" * 5000,
    ],
)
def test_hostile_text_becomes_harmless_text(text: str) -> None:
    found = elements(text)
    assert not [tag for tag, attributes in found if tag in ("script", "iframe", "style", "svg", "h1", "h2", "img")]
    assert not [attributes for tag, attributes in found if any(name.startswith("on") for name in attributes)]


def test_pictures_of_the_pack_are_shown_and_others_are_their_text() -> None:
    text = "![risk](evidence/a.png) ![large](evidence/b.png) ![none](evidence/c.png) ![no picture](evidence/d.png)"
    found = elements(text, evidence__a=png(), evidence__b=png(5000, 1), evidence__d=b"GIF89a")
    assert [attributes["alt"] for tag, attributes in found if tag == "img"] == ["risk"]
    html = card_html(text, {"evidence/a.png": png()})
    assert "[picture: none]" in html
    many = elements(" ".join("![a](evidence/a.png)" for _ in range(50)), evidence__a=png())
    assert sum(tag == "img" for tag, _ in many) == MOST_PICTURES


def test_links_lead_to_https_alone_and_say_where() -> None:
    html = card_html("[the paper](https://example.org/a?b=1&c=2) and [a file](evidence/rows.csv)", {})
    assert '<a href="https://example.org/a?b=1&amp;c=2" target="_blank" rel="noopener noreferrer nofollow">' in html
    assert "the paper (example.org)</a>" in html
    assert "<span>a file</span>" in html
    assert safe_address("https://example.org/x") == "example.org"
    for wrong in (
        "https://",
        "https://localhost",
        "https://[::1]/",
        "https://a b.org",
        "ftp://example.org",
        "https://x:y",
    ):
        assert safe_address(wrong) is None, wrong


def test_the_front_matter_and_unseen_characters_are_left_out() -> None:
    html = card_html("---\nlicense: mit\n---\n\n# A\u202ecard\u0007", {})
    assert "license" not in html
    assert "<h3>Acard</h3>" in html


def test_a_long_card_is_cut_and_says_so() -> None:
    html = card_html("word " * 100_000, {})
    assert len(html) < 300_000
    assert "the rest is not shown" in html


def test_the_card_of_a_real_pack_keeps_its_tables_and_plots() -> None:
    pack = read_pack(builtin_root() / "organism" / "pack")
    html = card_html(pack.files["README.md"].decode(), pack.files)
    assert html.count("<table") >= 5
    assert html.count("<img") == 2
    assert html.count("<table") == html.count("</table></div>")
