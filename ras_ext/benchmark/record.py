"""Keeps what was measured: a folder a machine, in it what the machine is, and a CSV and a PNG for each question."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ras_ext.benchmark import machine
from ras_ext.errors import InputError

MACHINE = "machine.json"


def open_folder(root: Path, device: torch.device) -> Path:
    """``root/<machine>``, with ``machine.json`` written."""
    facts = machine.describe(device)
    folder = root / facts["machine"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MACHINE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return folder


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Rows of the same columns as CSV; numbers to four digits, None as an empty field."""
    if not rows:
        raise InputError(f"there is nothing to write to {str(path)!r}; measure at least one row")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([_field(value) for value in row.values()] for row in rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_field(one)}" for key, one in value.items())
    return str(value)
