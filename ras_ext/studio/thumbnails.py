"""Small pictures of requests for the page, inside it: a page that names no file needs none."""

from __future__ import annotations

import base64
import io
from collections import OrderedDict
from html import escape
from pathlib import Path

from ras_ext.conversation import load_image
from ras_ext.errors import InputError
from ras_ext.items import Item

_SIDE = 96  # pixels of the longer side
_COLOURS = 128
_KEPT = 256


class Thumbnails:
    """Makes them and keeps the last few hundred."""

    def __init__(self) -> None:
        self._made: OrderedDict[Path, str] = OrderedDict()

    def html(self, item: Item) -> str:
        """The picture of a request, or a word on why there is none to see."""
        if item.image is None:
            return "<div class='ras-thumb'>no picture</div>"
        data = self._made.get(item.image)
        if data is None:
            data = self._make(item.image)
            if data:  # a picture that is gone may come back
                self._made[item.image] = data
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        if not data:
            return "<div class='ras-thumb'>picture not here</div>"
        return f"<img class='ras-thumb' alt='Picture of {escape(item.id)}' src='data:image/png;base64,{data}'>"

    def _make(self, path: Path) -> str:
        try:
            image = load_image(path)
        except InputError:
            return ""
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.quantize(_COLOURS).save(file, "PNG", optimize=True)
        return base64.b64encode(file.getvalue()).decode()
