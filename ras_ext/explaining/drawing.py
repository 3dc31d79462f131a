"""Draws an explanation over its image, and the separation of the layers."""

from __future__ import annotations

import textwrap
from typing import Any

from PIL import Image

from ras_ext.explaining.explanation import Explanation, Rows, View
from ras_ext.explaining.layers import CONDITIONS, Separation
from ras_ext.registry.theme import LIGHT, new_figure, plain, png_of

_DPI = 130
_NUMBERS = 6  # regions a side up to which each is labelled with its value
_SMALL = 256  # pixels below which an image is enlarged with hard edges
# Told apart by colour-blind eyes, and by their dashes in print.
_LINES = (("#57606a", ":"), ("#2f6fb2", "--"), ("#d2601a", "-."), ("#7a3e9d", "-"))


def draw_explanation(explanation: Explanation, image: Image.Image) -> bytes:
    """PNG of the heat over the image, before and after side by side: attention, and below it risk where there is one.

    `image` is the one that was explained. Attention is drawn as mass per visual token, on one scale for both sides.
    """
    views = (explanation.before, explanation.after)
    rows: list[tuple[str, list[Rows], str, float | None]] = [
        ("attention per visual token", [view.density for view in views], "viridis", None)
    ]
    risks = [view.risk for view in views if view.risk is not None]
    if risks:
        rows.append(("risk of the region", risks, "inferno", 1.0))
    height = 1.1 + 3.7 * len(rows)
    with new_figure((8.6, height), _DPI) as figure:
        panels = figure.subplots(len(rows), 2, squeeze=False)
        for line, (name, values, colours, top) in zip(panels, rows, strict=True):
            top = top or max(max(map(max, one)) for one in values) or 1.0
            for axes, heat in zip(line, values, strict=True):
                drawn = _heat(axes, explanation, image, heat, colours, top)
            bar = figure.colorbar(drawn, ax=list(line), shrink=0.85, pad=0.02)
            bar.set_label(name, color=LIGHT.ink, fontsize=9)
            bar.ax.tick_params(colors=LIGHT.ink, labelsize=8)
            bar.outline.set_edgecolor(LIGHT.faint)
        for axes, side, view in zip(panels[0], ("before", "after reformulation"), views, strict=True):
            axes.set_title(_title(side, view), fontsize=8.5, color=LIGHT.ink, loc="left")
        figure.suptitle(_heading(explanation), fontsize=9, color=LIGHT.ink, x=0.01, ha="left")
        return png_of(figure)


def draw_layers(separation: Separation) -> bytes:
    """PNG of Fisher's ratio over the layers, one line a condition."""
    with new_figure((7.2, 3.9), _DPI) as figure:
        axes = figure.subplots()
        for condition, (colour, dashes) in zip(CONDITIONS, _LINES, strict=True):
            ratio = separation.ratio[condition]
            label = "original request" if condition == "original" else f"with {condition}"
            axes.plot(range(len(ratio)), ratio, color=colour, ls=dashes, lw=1.8, marker="o", ms=3, label=label)
        axes.set_xlabel("layer (0: embeddings, last: after the final norm)", color=LIGHT.ink)
        axes.set_ylabel("Fisher discriminant ratio", color=LIGHT.ink)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(bottom=0)
        plain(axes, LIGHT)
        figure.legend(frameon=False, labelcolor=LIGHT.ink, fontsize=9, loc="outside upper center", ncols=4)
        return png_of(figure)


def _heat(axes: Any, explanation: Explanation, image: Image.Image, heat: Rows, colours: str, top: float) -> Any:
    import numpy as np

    left, up, right, down = explanation.box
    width, height = explanation.size
    axes.imshow(
        image.convert("RGB"),
        extent=(0, width, height, 0),
        interpolation="nearest" if max(width, height) < _SMALL else "antialiased",
    )
    rows, columns = (np.asarray(edges) for edges in explanation.grid.edges())
    xs, ys = left + columns * (right - left), up + rows * (down - up)
    drawn = axes.pcolormesh(xs, ys, np.asarray(heat), cmap=colours, vmin=0, vmax=top, alpha=0.6, lw=0)
    if max(len(heat), len(heat[0])) <= _NUMBERS:
        for y, line in zip((ys[1:] + ys[:-1]) / 2, heat, strict=True):
            for x, value in zip((xs[1:] + xs[:-1]) / 2, line, strict=True):
                axes.text(
                    x, y, f"{value:.3f}" if value < 0.0995 else f"{value:.2f}", fontsize=7.5, ha="center", va="center",
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75}, color=LIGHT.ink,
                )  # fmt: skip
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(LIGHT.faint)
    return drawn


def _title(side: str, view: View) -> str:
    pooled = "" if view.pooled is None else f", ρ = {view.pooled:.2f}"
    return f"{side} (attention to the image {view.mass:.2f}{pooled})"


def _heading(explanation: Explanation) -> str:
    heads = ", ".join(f"{layer}.{head}" for layer, head in explanation.heads[:8])
    where = "chosen by calibration" if explanation.heads_from == "pack" else "that look most at this image"
    # A dollar sign would open a formula.
    asked = textwrap.shorten(" ".join(explanation.before.query.split()), 100, placeholder="…").replace("$", r"\$")
    seen = textwrap.shorten(explanation.visual_context or "–", 100, placeholder="…").replace("$", r"\$")
    return (
        f"question: {asked}\nvisual context: {seen}\n"
        f"risk r = {explanation.risk:.3f}, similarity S = {explanation.similarity:.3f}; "
        f"heads (layer.head) {heads} {where}"
    )
