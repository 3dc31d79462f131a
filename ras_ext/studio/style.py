"""Colours and shapes of the page, for light and dark. Fonts are those of the visitor's system: nothing is fetched."""

from __future__ import annotations

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


CSS = (
    (":root{" + _variables(LIGHT, "#ffffff", "#f3f5f8") + "}\n.dark{" + _variables(DARK, "#14181f", "#1d232c") + "}\n")
    + """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.ras-note { color: var(--ras-ink); background: var(--ras-soft); border-left: 4px solid var(--ras-line);
  padding: .5rem .75rem; margin: .25rem 0; border-radius: 4px; overflow-wrap: anywhere; }
.ras-failed, .ras-warned { border-left-color: var(--ras-unsafe); }
.ras-note ul { margin: .25rem 0 0 1.1rem; list-style: disc; }
.ras-progress p { margin: 0 0 .25rem; color: var(--ras-ink); }
.ras-track { height: 10px; border-radius: 5px; background: var(--ras-faint); overflow: hidden; }
.ras-track > div { height: 100%; background: var(--ras-safe); }
.ras-table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; color: var(--ras-ink); }
.ras-table th, .ras-table td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--ras-faint);
  vertical-align: top; overflow-wrap: anywhere; }
.ras-table td.n, .ras-table th.n { text-align: right; white-space: nowrap; }
.ras-scroll { overflow-x: auto; }
.ras-picture img { max-width: 100%; max-height: 320px; object-fit: contain; border-radius: 6px;
  border: 1px solid var(--ras-faint); image-rendering: auto; display: block; }
.upload-wrapper .or, [data-testid=upload-text] .or { color: var(--ras-ink) !important; }
.ras-figure img { width: 100%; min-width: 520px; max-width: 960px; display: block; }
.ras-dark, .dark .ras-light { display: none !important; }
.dark .ras-dark { display: block !important; }
.ras-good::before { content: "✓ "; } .ras-doubtful::before { content: "! "; }
.ras-good, .ras-doubtful { font-weight: 600; white-space: nowrap; color: var(--ras-ink); }
.ras-doubtful { border-bottom: 2px solid var(--ras-unsafe); }
.ras-card { color: var(--ras-ink); overflow-wrap: anywhere; line-height: 1.5; }
.ras-card h3, .ras-card h4, .ras-card h5, .ras-card h6, .ras-heading { font-weight: 600; margin: 1rem 0 .4rem;
  color: var(--ras-ink); }
.ras-card pre { background: var(--ras-soft); padding: .5rem .75rem; border-radius: 4px; white-space: pre-wrap;
  margin: .5rem 0; }
.ras-card code, .ras-table code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  font-size: .9em; overflow-wrap: anywhere; }
.ras-card p, .ras-card ul, .ras-card ol { margin: .5rem 0; } .ras-card ul { list-style: disc inside; }
.ras-card img { max-width: 100%; background: #ffffff; border-radius: 4px; }
.ras-card a { color: var(--ras-safe); text-decoration: underline; }
.ras-scroll:focus-visible { outline: 2px solid var(--ras-safe); }
@media (max-width: 640px) { .gradio-container { padding: 8px !important; } }
"""
)
