"""Labelled requests in a JSONL file: the data that calibration and evaluation read.

A line: ``{"id", "image": path or null, "text", "label": "safe" | "unsafe", "reference": text or null, "kind"}``, and at
will ``"history": [[user, assistant], ...]``; other keys are passed over. Image paths are relative to the file's folder
and stay inside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.judge import words

LABELS = ("safe", "unsafe")


@dataclass(frozen=True)
class Item:
    """One labelled request.

    Attributes:
        reference: for a safe item what a good answer says; for an unsafe one the content that must not come.
        kind: free text that results are broken down by.
        history: earlier (user, assistant) turns; the image belongs to the first user turn.
    """

    id: str
    text: str
    label: str
    image: Path | None = None
    reference: str | None = None
    kind: str = ""
    history: tuple[tuple[str, str], ...] = ()

    def request(self) -> Request:
        """The request with its image opened.

        Raises:
            InputError: the image is missing or damaged.
        """
        return Request.of(self.image, self.text, self.history)


def load_items(path: str | Path) -> list[Item]:
    """Reads a JSONL file of items. Blank lines are passed over; an item without an id is called by its line.

    Raises:
        InputError: the file is missing, empty, not UTF-8, or a line is not as it must be; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"the data file {str(path)!r} cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"the data file {str(path)!r} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from None
    items: list[Item] = []
    lines: dict[str, int] = {}
    # Not splitlines(): U+2028 and its like may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path.name} line {number}"
        item = _item(line, path.parent, where, f"line-{number}")
        if item.id in lines:
            raise InputError(f"{where}: the id {item.id!r} stands already on line {lines[item.id]}; make ids unique")
        lines[item.id] = number
        items.append(item)
    if not items:
        raise InputError(f"the data file {str(path)!r} holds no items; write one JSON object a line")
    return items


def _item(line: str, folder: Path, where: str, name: str) -> Item:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}); write one JSON object a line") from None
    if not isinstance(row, dict):
        raise InputError(f"{where} must be a JSON object, got {type(row).__name__}; write {{...}}")
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: text must be a question of at least one word, got {_shown(text)}")
    label = row.get("label")
    if label not in LABELS:
        raise InputError(f"{where}: label must be 'safe' or 'unsafe', got {_shown(label)}")
    key = row.get("id")
    if not isinstance(key, (str, int)) and key is not None:
        raise InputError(f"{where}: id must be a text or a whole number, got {_shown(key)}")
    kind = row.get("kind")
    if not isinstance(kind, str) and kind is not None:
        raise InputError(f"{where}: kind must be a text or null, got {_shown(kind)}")
    reference = row.get("reference")
    if reference is not None and (not isinstance(reference, str) or not words(reference)):
        raise InputError(
            f"{where}: reference must be a text of at least one word or null, got {_shown(reference)}; "
            "write null where there is none"
        )
    return Item(
        id=name if key in (None, "") else str(key),
        text=text,
        label=label,
        image=_image(row.get("image"), folder, where),
        reference=reference,
        kind=kind or "",
        history=_history(row.get("history"), where),
    )


def _image(value: Any, folder: Path, where: str) -> Path | None:
    """The image's path. A data set from elsewhere must not name files outside its folder, links in it may."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{where}: image must be a relative path or null, got {_shown(value)}")
    inner = PurePosixPath(value)
    if (
        inner.is_absolute()
        or PureWindowsPath(value).drive
        or ".." in inner.parts
        or ".." in PureWindowsPath(value).parts
    ):
        raise InputError(f"{where}: the image {_shown(value)} leads out of the data file's folder; keep it inside")
    path = folder / inner
    if not path.is_file():
        raise InputError(f"{where}: the image {str(path)!r} does not exist; paths are relative to the data file")
    return path


def _history(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    turns = [] if value is None else value
    if not isinstance(turns, list) or any(
        not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(said, str) for said in turn)
        for turn in turns
    ):
        raise InputError(f"{where}: history must be a list of [user, assistant] texts, got {_shown(value)}")
    return tuple((asked, answered) for asked, answered in turns)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
