"""Keeps the outcome of ``ras-ext eval --record`` in the pack that was measured, whose id stays what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ras_ext.cli.opening import BUILTIN


def folder_of(vectors: str | None) -> Path:
    """The folder of the pack that --vectors names. Wrong use unless it is one of this machine that may be rewritten."""
    from ras_ext.errors import PackError
    from ras_ext.registry import check_target, parse
    from ras_ext.registry.layout import CONFIG_FILE

    if vectors is None or vectors.startswith(BUILTIN):
        raise _refused(vectors or "the pack of the model's name")
    folder = parse(vectors).folder
    if folder is None:
        raise _refused(vectors)
    if not (folder / CONFIG_FILE).exists():
        raise typer.BadParameter(f"there is no pack at {folder}; give a pack's folder", param_hint="--vectors")
    try:
        return check_target(folder)  # before the long work, not after it
    except PackError as error:
        raise typer.BadParameter(str(error), param_hint="--record") from None


def record(folder: Path, report: Mapping[str, Any], data: str) -> str:
    """Writes the table of the report into the pack and returns its new digest.

    The pack is read anew: the vectors that were measured may have been moved to another dtype. Raises PackError if it
    holds other vectors by now.
    """
    from ras_ext.registry import read_pack
    from ras_ext.vectors import SteeringVectors

    vectors = SteeringVectors.from_pack(read_pack(folder)).with_evidence(report, data=data)
    vectors.save(folder)
    return str(vectors.digest)


def _refused(name: str) -> typer.BadParameter:
    return typer.BadParameter(
        f"the result is written into a pack's folder on this machine, and {name!r} is none; "
        "give the folder with --vectors",
        param_hint="--record",
    )
