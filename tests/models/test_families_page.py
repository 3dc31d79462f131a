"""The page on families says of each what the tests run."""

from __future__ import annotations

import re
from pathlib import Path

from models import tiny
from models.legacy import subjects

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
        limits = [*family.vision_types, family.config_has] if family.config_has else [*family.vision_types]
        assert re.findall("`([a-z0-9_]+)`", types) == [*family.model_types, *limits]
        own = "its tokenizer" if family.encoding else f"`{type(tiny.build(family.name)[1]).__name__}`"
        assert processor == own
        assert template.startswith("yes" if family.chat_template else "none")
        assert carriers.startswith("state, logits")


def test_every_family_has_a_tiny_model_and_a_file_of_its_name() -> None:
    assert set(tiny.BUILDERS) == {family.name for family in FAMILIES if not family.encoding}
    assert set(subjects.BUILDERS) == {family.name for family in FAMILIES if family.encoding}
    folder = Path(__file__).parents[2] / "ras_ext" / "models"
    assert all((folder / f"{family.name}.py").is_file() for family in FAMILIES)


def test_the_commands_for_published_weights_are_those_of_the_second_environment() -> None:
    """The versions the page and the script install, and the names the page's Python uses."""
    root, page = PAGE.parents[1], PAGE.read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in (root / "scripts" / "legacy.txt").read_text().splitlines() if "==" in line)
    assert pins["transformers"] == "4.37.2"
    assert pins["transformers"] in page
    assert "pip install -r scripts/legacy.txt" in page
    assert "scripts/legacy.txt" in (root / "scripts" / "test_legacy.sh").read_text()
    assert "TORCH_VERSION:-2.13.0}" in (root / "scripts" / "environment.sh").read_text()
    assert "torch==2.13.0" in page
    snippet = page.split("### With the published weights")[1].split("```python")[1].split("```")[0]
    compile(snippet, "families.md", "exec")
    assert "trust_remote_code" in snippet
    assert '"revision": "REVISION"' in snippet


def test_what_marks_an_image_is_named_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for family in FAMILIES:
        if family.encoding:
            assert f"`{family.encoding.marks[0]}`" in page
