"""The page on the pack format says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ras_ext.registry import SCHEMA_VERSION
from ras_ext.registry.layout import EVIDENCE_LIMIT, MAX_FILES, MIB, SIZE_LIMITS, TOTAL_LIMIT
from ras_ext.registry.tensors import OPTIONAL, REQUIRED

PAGE = Path(__file__).parents[2] / "docs" / "pack-format.md"


@pytest.fixture(scope="module")
def page() -> str:
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def test_every_field_of_the_config_is_described_and_no_other(page: str, config: dict[str, Any]) -> None:
    real = {*config, "files"}
    for section in ("base_model", "method", "prompts"):
        real |= {f"{section}.{key}" for key in config[section]}
        real -= set() if section == "base_model" else {section}
    rows = re.findall(r"\| ((?:`[a-z_.0-9]+`(?:, )?)+) \|", page.split("## Tensors")[0])
    described = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert described == real


def test_every_tensor_and_limit_is_described(page: str) -> None:
    for name in REQUIRED + OPTIONAL:
        assert f"| `{name}` |" in page
    limits = (
        f"{SIZE_LIMITS['ras_vectors.safetensors'] // MIB} MiB of tensors, {EVIDENCE_LIMIT // MIB} MiB per evidence file"
    )
    assert f"{limits}, {TOTAL_LIMIT // MIB} MiB in all, {MAX_FILES} files" in page
    assert f"| `schema_version` | {SCHEMA_VERSION} |" in page
