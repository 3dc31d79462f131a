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
.gradio-container { max-width: min(1180px, 100vw) !important; margin: 0 auto !important; }
.ras-note { color: var(--ras-ink); background: var(--ras-soft); border-left: 4px solid var(--ras-line);
  padding: .5rem .75rem; margin: .25rem 0; border-radius: 4px; overflow-wrap: anywhere; }
.ras-failed, .ras-warned { border-left-color: var(--ras-unsafe); }
.ras-note ul { margin: .25rem 0 0 1.1rem; list-style: disc; }
.ras-progress p { margin: 0 0 .25rem; color: var(--ras-ink); }
.ras-track { height: 10px; border-radius: 5px; background: var(--ras-faint); overflow: hidden; }
.ras-track > div { height: 100%; background: var(--ras-safe); }
.ras-table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; color: var(--ras-ink); }
.ras-table th, .ras-table td { text-align: left; padding: .25rem .5rem !important; border: 0 !important;
  border-bottom: 1px solid var(--ras-faint) !important; vertical-align: top; overflow-wrap: break-word;
  word-break: normal; }
.ras-table, .ras-table tr, .ras-table thead, .ras-table tbody { border: 0 !important; }
.ras-table td.n, .ras-table th.n { text-align: right; white-space: nowrap; }
.ras-scroll { overflow-x: auto; }
.ras-picture img { max-width: 100%; max-height: 320px; object-fit: contain; border-radius: 6px;
  border: 1px solid var(--ras-faint); image-rendering: auto; display: block; }
.ras-tiny img { width: 144px; image-rendering: pixelated; }
.upload-wrapper .or, [data-testid=upload-text] .or { color: var(--ras-ink) !important; }
<<<<<<< HEAD
.ras-light { display: block; } .dark .ras-light { display: none; }
.ras-dark { display: none; } .dark .ras-dark { display: block; }
.ras-spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.ras-small { font-size: .875rem; color: var(--ras-ink); margin: .25rem 0; }
.ras-gauge { color: var(--ras-ink); padding: .25rem 0; }
.ras-gauge p { margin: .25rem 0; }
.ras-big { font-size: 1.5rem; font-weight: 600; margin-right: .5rem; font-variant-numeric: tabular-nums; }
.ras-scale { position: relative; height: 18px; border-radius: 9px; background: var(--ras-faint); overflow: hidden; }
.ras-fill { height: 100%; background: var(--ras-safe); transition: width .25s; }
.ras-high .ras-fill { background: repeating-linear-gradient(135deg, var(--ras-unsafe) 0 8px, #b24c10 8px 12px); }
.ras-mark { position: absolute; left: calc(50% - 1.5px); top: 0; width: 3px; height: 100%; background: var(--ras-ink); }
.ras-ticks { display: flex; justify-content: space-between; font-size: .8125rem; }
.ras-answer { color: var(--ras-ink); background: var(--ras-ground); border: 1px solid var(--ras-faint);
  border-top: 4px solid var(--ras-line); border-radius: 6px; padding: .5rem .75rem; min-height: 7.5rem; }
.ras-answer h2 { margin: 0 0 .25rem !important; font-size: 1rem !important; }
.ras-safe-side { border-top-color: var(--ras-safe); } .ras-plain-side { border-top-color: var(--ras-unsafe); }
.ras-text { white-space: pre-wrap; overflow-wrap: anywhere; }
.ras-hidden summary { cursor: pointer; padding: .25rem 0; }
.ras-table caption { text-align: left; padding: .5rem 0 .25rem; color: var(--ras-ink); }
.ras-figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: .75rem; }
.ras-over { margin: 0; position: relative; color: var(--ras-ink); }
.ras-stack { position: relative; } .ras-stack img { width: 100%; display: block; image-rendering: pixelated; }
.ras-cell { position: absolute; display: flex; align-items: center; justify-content: center; }
.ras-shade { position: absolute; inset: 0; background: #2f6fb2; }
.ras-risk .ras-shade { background: #d2601a; }
.ras-cell span { position: relative; background: #ffffff; color: #1f2328; border-radius: 3px; padding: 0 3px;
  font-size: .75rem; font-variant-numeric: tabular-nums; }
.ras-table small { display: block; font-weight: 400; }
.ras-table th.ras-wrap { white-space: normal; overflow-wrap: normal; }
.ras-table th[scope=row] { min-width: 8.5rem; overflow-wrap: normal; }
.ras-curve { margin: 0; color: var(--ras-ink); font-size: 13px; }
.ras-curve ul { list-style: none; margin: 0; padding: 0; }
.ras-curve path { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.ras-legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin-bottom: .4rem !important; }
.ras-legend svg { width: 30px; height: 8px; display: inline-block; margin-right: .4rem; }
.ras-plot { display: flex; } .ras-plot > svg { flex: 1; height: 230px; min-width: 0; overflow: visible; }
.ras-up span { white-space: nowrap; }
.ras-up { display: flex; flex-direction: column; justify-content: space-between; width: 46px; text-align: right;
  padding-right: 6px; margin: -9px 0; }
.ras-along { display: flex; justify-content: space-between; margin: .3rem -4px .2rem 42px; }
.ras-rug li { display: flex; align-items: center; }
.ras-rug span { width: 46px; min-width: 46px; } .ras-rug svg { flex: 1; height: 12px; min-width: 0; overflow: visible; }
.ras-curve figcaption { margin-top: .4rem; }
.ras-line-safe { stroke: var(--ras-safe); } .ras-line-unsafe { stroke: var(--ras-unsafe); }
.ras-grid { stroke: var(--ras-faint); stroke-width: 1 !important; }
.ras-mark-own { stroke: var(--ras-line); stroke-dasharray: 6 4; } .ras-mark-chosen { stroke: var(--ras-ink); }
.ras-changes h3, .ras-changes h4, h4.ras-heading { font-weight: 600; margin: .75rem 0 .4rem; color: var(--ras-ink); }
.ras-change { display: flex; gap: .75rem; padding: .6rem 0; border-bottom: 1px solid var(--ras-faint);
  color: var(--ras-ink); overflow-wrap: anywhere; }
.ras-change > div:last-child { flex: 1; min-width: 0; }
.ras-change dt { font-weight: 600; margin-top: .25rem; } .ras-change dd { margin: 0; }
.ras-thumb { width: 72px; min-width: 72px; height: 72px; object-fit: contain; font-size: 12px; text-align: center;
  border: 1px solid var(--ras-faint); border-radius: 4px; }
.ras-asked { font-weight: 600; }
.ras-label-unsafe { border-bottom: 2px solid var(--ras-unsafe); }
.ras-label-safe { border-bottom: 2px solid var(--ras-safe); }
.ras-hidden summary { cursor: pointer; text-decoration: underline; }
.ras-hidden[open] { border-left: 4px solid var(--ras-unsafe); padding-left: .6rem; }
.min_value, .max_value { color: var(--ras-ink) !important; }
button[role=tab].selected { color: var(--ras-ink) !important; font-weight: 600; }
.ras-scroll { max-width: 100%; }
.gradio-container, .gradio-container * { min-width: 0; }
@media (max-width: 640px) {
  .gradio-container .main { padding: 8px !important; }
  .gradio-container .row > * { flex-basis: 100% !important; min-width: 100% !important; }
  .gradio-container .row > button { flex-basis: 40% !important; min-width: 40% !important; }
}
=======
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
>>>>>>> wip-cal
"""
)
