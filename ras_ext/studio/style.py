"""Colours and shapes of the page, for light and dark. Fonts are those of the visitor's system: nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ras_ext.registry.theme import DARK, LIGHT, Theme

_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> Any:
    """Gradio's theme."""
    return gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=_MONO).set(
        button_primary_background_fill="#1f5fa8",
        button_primary_background_fill_hover="#174a85",
        button_primary_background_fill_dark="#1f5fa8",
        button_primary_background_fill_hover_dark="#2f6fb2",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )


def _variables(colours: Theme, ground: str, soft: str) -> str:
    return (
        f"--ras-ink:{colours.ink};--ras-faint:{colours.faint};--ras-safe:{colours.safe};--ras-unsafe:{colours.unsafe};"
        f"--ras-line:{colours.line};--ras-ground:{ground};--ras-soft:{soft};"
    )


def css() -> str:
    """The page's style sheet, its colours first."""
    light, dark = _variables(LIGHT, "#ffffff", "#f3f5f8"), _variables(DARK, "#14181f", "#1d232c")
    sheet = (Path(__file__).parent / "studio.css").read_text(encoding="utf-8")
    return f":root{{{light}}}\n.dark{{{dark}}}\n{sheet}"
