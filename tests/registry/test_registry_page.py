"""The page on the registry says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ras_ext.registry import aliases, read_lock

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_every_variable_is_described_and_no_other() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "registry").glob("*.py"))
    real = set(re.findall(r'"(RAS_EXT_[A-Z_]+)"', sources))
    described = {name for row in re.findall(r"^\| (`[A-Z_`, ]+`) \|", PAGE, re.MULTILINE) for name in row.split("`")}
    assert {name for name in described if name.startswith("RAS_EXT_")} == real


def test_the_examples_are_read_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, lock, trust = EXAMPLES
    (tmp_path / "aliases.json").write_text(json.dumps({"ours": {**ours["ours"], "digest": "0" * 64}}))
    monkeypatch.setenv("RAS_EXT_ALIASES", str(tmp_path / "aliases.json"))
    assert aliases()["ours"].repo == "ras-ext/ours"
    for entry in lock["packs"].values():
        entry.update(digest="0" * 64, revision="0" * 40)
    (tmp_path / "lock").write_text(json.dumps(lock))
    assert read_lock(tmp_path / "lock")["llava-1.5"].repo == "ras-ext/llava-1.5-7b-hf-ras"
    assert set(trust) == {"ras-ext", "team", "*"}


def test_the_shipped_aliases_lead_to_the_names_on_the_page() -> None:
    assert aliases()["llava-1.5"].repo == "ras-ext/llava-1.5-7b-hf-ras"
