"""Attention and risk of an image's regions, laid over it, before and after reformulation, as HTML."""

from __future__ import annotations

import base64
import io
from html import escape

from PIL import Image

from ras_ext.explaining import Explanation, View

_MISSING = (
    '<p class="ras-note">These vectors were calibrated without labelled pictures: the heads are those that look most '
    "at this one, and there is no risk per region. Calibrate with labelled pictures to have both.</p>"
)
_TINY = 64  # pixels, up to which they are drawn as squares
_WIDEST = 480  # pixels of the picture that is sent to the page


def thumbnail(image: Image.Image, widest: int = _WIDEST) -> str:
    """The picture as a data URI, small enough to be sent often."""
    small = image.copy()
    small.thumbnail((widest, widest))
    data = io.BytesIO()
    small.save(data, format="PNG" if max(small.size) <= _TINY else "WEBP", quality=85)
    kind = "png" if max(small.size) <= _TINY else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def picture(image: Image.Image | None, alt: str) -> str:
    """The picture that was sent or picked; a word where there is none."""
    if image is None:
        return '<p class="ras-small">No picture: the question alone is asked.</p>'
    tiny = " ras-tiny" if max(image.size) <= _TINY else ""
    return f'<figure class="ras-picture{tiny}"><img src="{thumbnail(image)}" alt="{escape(alt, quote=True)}"></figure>'


def overlays(found: Explanation, image: Image.Image) -> str:
    """Attention per visual token and, where it was calibrated, risk of each region, before and after reformulation."""
    source = thumbnail(image)
    sides = (("before", found.before), ("after reformulation", found.after))
    top = max(max(map(max, view.density)) for _, view in sides) or 1.0
    figures = [
        _figure(found, source, "attention", side, view, view.density, top, f"mass {view.mass:.2f}")
        for side, view in sides
    ]
    for side, view in sides:
        if view.risk is not None and view.pooled is not None:
            pooled = f"{view.pooled:.2f} where it looks"
            figures.append(_figure(found, source, "risk", side, view, view.risk, 1.0, pooled))
    heads = ", ".join(f"{layer}.{head}" for layer, head in found.heads)
    chosen = "chosen by calibration" if found.heads_from == "pack" else "that look most at this picture"
    remark = _MISSING if found.remark else ""
    return (
        f'<div class="ras-figures">{"".join(figures)}</div>'
        f'<p class="ras-small">Heads (layer.head) {heads}, {chosen}. Attention is mass per visual token.</p>{remark}'
    )


def _figure(
    found: Explanation,
    source: str,
    what: str,
    side: str,
    view: View,
    values: tuple[tuple[float, ...], ...],
    top: float,
    total: str,
) -> str:
    width, height = found.size
    left, up, right, down = found.box
    rows, columns = found.grid.edges()
    cells = []
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            place = (
                (left + columns[x] * (right - left)) / width,
                (up + rows[y] * (down - up)) / height,
                (columns[x + 1] - columns[x]) * (right - left) / width,
                (rows[y + 1] - rows[y]) * (down - up) / height,
            )
            box = ";".join(
                f"{n}:{100 * v:.3f}%" for n, v in zip(("left", "top", "width", "height"), place, strict=True)
            )
            shade = 0.75 * min(1.0, value / top)
            cells.append(
                f'<div class="ras-cell" style="{box}"><div class="ras-shade" style="opacity:{shade:.3f}"></div>'
                f"<span>{value:.2f}</span></div>"
            )
    spoken = "; ".join(
        f"row {y}: {', '.join(f'{value:.2f}' for value in line)}" for y, line in enumerate(values, start=1)
    )
    return (
        f'<figure class="ras-over ras-{what}"><div class="ras-stack" aria-hidden="true"><img src="{source}" alt="">'
        f"{''.join(cells)}</div><figcaption><strong>{what.capitalize()}, {side}</strong>: {total}"
        f'<span class="ras-spoken">; by region, {spoken}</span></figcaption></figure>'
    )
