"""A set of requests as it comes from the page: one JSONL file, and its pictures in no folder, found by their names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ras_ext.errors import InputError
from ras_ext.items import Item, load_items
from ras_ext.studio.pictures import read_picture
from ras_ext.studio.uploads import Uploads

LINES = ".jsonl"
_NAMED = 3  # of the pictures that are missing


def items_of(files: Sequence[Path], uploads: Uploads, visitor: str) -> list[Item]:
    """The items of an upload, which stay for as long as the visit lasts.

    Args:
        files: one ``.jsonl`` file and the pictures that its lines name. Only the last part of a line's path counts,
            since a browser sends files without their folders.

    Raises:
        InputError: there is no such file or several, a picture was not sent or cannot be read, two have one name, or
            a line is not as it must be.
    """
    lists = [path for path in files if path.suffix.lower() == LINES]
    if len(lists) != 1:
        raise InputError(
            f"{len(lists)} of the {len(files)} files sent end in {LINES}; send one list of requests with its pictures"
        )
    folder = uploads.keep(visitor, files)
    try:
        kept = folder / lists[0].name
        text = _text(kept)
        kept.write_text(_flat(text, named(path for path in folder.iterdir() if path != kept)), encoding="utf-8")
        items = load_items(kept)
        for image in {item.image for item in items if item.image is not None}:
            read_picture(image)
        return items
    except InputError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise without(folder, error) from None


def named(files: Any) -> dict[str, str]:
    """The names of files, by what is left of them when a browser or a server has taken out what it does not like."""
    return {plain(path.name): path.name for path in files}


def plain(name: str) -> str:
    """A file's name by letters, digits, dots, dashes and underscores alone."""
    return "".join(char for char in name if char.isalnum() or char in "._-")


def last_part(path: str) -> str:
    """What a path of either kind of system ends with."""
    return PurePosixPath(path.replace("\\", "/")).name


def without(folder: Path, error: InputError) -> InputError:
    """The same sentence without the folder: the page names files, and never where they lie."""
    said = str(error)
    for place in {folder, folder.resolve()}:
        said = said.replace(f"{place}/", "")
    return InputError(said)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name!r} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from None


def _flat(text: str, sent: Mapping[str, str]) -> str:
    """The lines with every picture called as it was sent; what is no line of an item is left to its reader."""
    lines, absent, meant = [], [], dict[str, str]()
    for line in text.split("\n"):
        try:
            row = json.loads(line)
            image = row["image"]
        except (ValueError, KeyError, TypeError, RecursionError):
            lines.append(line)
            continue
        if isinstance(image, str) and image:
            name = sent.get(plain(last_part(image)))
            if name is None:
                absent.append(last_part(image))
            elif meant.setdefault(name, image) != image:
                raise InputError(
                    f"{meant[name][:80]!r} and {image[:80]!r} are one name without their folders; give each its own"
                )
            else:
                line = json.dumps({**row, "image": name})
        lines.append(line)
    if missing := list(dict.fromkeys(absent)):
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        shown = ", ".join(name[:80] for name in missing[:_NAMED])
        raise InputError(f"the list names pictures that were not sent: {shown}{more}; send them along")
    return "\n".join(lines)
