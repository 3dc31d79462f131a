"""The page on families says of each what the tests run."""

from __future__ import annotations

import re
from pathlib import Path

from models import tiny

from ras_ext.models import FAMILIES

PAGE = Path(__file__).parents[2] / "docs" / "families.md"


def rows() -> dict[str, list[str]]:
    """The cells of the table by family."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row for row in cells}


def test_the_table_lists_the_families_in_the_order_in_which_they_are_tried() -> None:
    assert list(rows()) == [family.name for family in FAMILIES]


def test_each_row_is_what_the_family_is_and_what_the_tests_run() -> None:
    table = rows()
    for family in FAMILIES:
        _, types, processor, _, template, carriers = table[family.name]
        assert re.findall("`([a-z0-9_]+)`", types) == [*family.model_types, *family.vision_types]
        assert processor == f"`{type(tiny.build(family.name)[1]).__name__}`"
        assert template.startswith("yes" if family.chat_template else "none")
        assert carriers.startswith("state, logits")


def test_every_family_has_a_tiny_model_and_a_file_of_its_name() -> None:
    assert set(tiny.BUILDERS) == {family.name for family in FAMILIES}
    folder = Path(__file__).parents[2] / "ras_ext" / "models"
    assert all((folder / f"{family.name}.py").is_file() for family in FAMILIES)
