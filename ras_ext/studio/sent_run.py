"""An evaluation run as it comes from the page: its two files, and its pictures if they were sent along.

Such a run may name any path of any machine; its pictures are those that were sent, and no others.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ras_ext.errors import InputError
from ras_ext.evaluation.report import Report
from ras_ext.evaluation.saved import load
from ras_ext.items import Item
from ras_ext.studio.pictures import read_picture
from ras_ext.studio.sent_items import LINES, last_part, named, plain, without
from ras_ext.studio.uploads import Uploads

SETTINGS = ".run.json"


def run_of(files: Sequence[Path], uploads: Uploads, visitor: str) -> Report:
    """The report of a run that was sent; it stays for as long as the visit lasts.

    Raises:
        InputError: one of its files was not sent or is damaged, or a picture cannot be read.
    """
    answers = [path for path in files if path.suffix.lower() == LINES]
    settings = [path for path in files if path.name.endswith(SETTINGS)]
    if len(answers) != 1 or len(settings) != 1:
        raise InputError(
            f"a run is a file of answers ({LINES}) and its settings ({SETTINGS}), and {len(answers)} and "
            f"{len(settings)} of them were sent; send both, as ras-ext eval wrote them"
        )
    folder = uploads.keep(visitor, files)
    try:
        path = folder / answers[0].name
        own = path.with_suffix(SETTINGS)
        if not own.exists():
            (folder / settings[0].name).rename(own)
        report = load(path, partial=True)
        sent = named(one for one in folder.iterdir() if one not in (path, own))
        items = tuple(_at(item, folder, sent) for item in report.items)
        for image in {item.image for item in items if item.image is not None and item.image.is_file()}:
            read_picture(image)
        return replace(report, items=items)
    except InputError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise without(folder, error) from None


def _at(item: Item, folder: Path, sent: dict[str, str]) -> Item:
    if item.image is None:
        return item
    name = sent.get(plain(last_part(str(item.image))))
    return replace(item, image=folder / (name or "not sent"))
