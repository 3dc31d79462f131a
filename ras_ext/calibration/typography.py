"""Writes a text query into an image, as FigStep does, for calibration where no image queries are at hand."""

from __future__ import annotations

import textwrap

from PIL import Image, ImageDraw, ImageFont

SIDE = 760
_POINTS, _COLUMNS, _MARGIN = 64, 18, 24


def write_query(query: str) -> Image.Image:
    """The query in black on a white 760x760 image, wrapped; long ones in a smaller face so that nothing is cut."""
    points, columns = _POINTS, _COLUMNS
    while True:
        lines = textwrap.wrap(query, columns) or [query]
        if len(lines) * points * 1.25 <= SIDE - 2 * _MARGIN or points <= 16:
            break
        points, columns = int(points * 0.8), int(columns * 1.25)
    image = Image.new("RGB", (SIDE, SIDE), "white")
    font = ImageFont.load_default(size=points)
    ImageDraw.Draw(image).multiline_text((_MARGIN, _MARGIN), "\n".join(lines), fill="black", font=font, spacing=8)
    return image
