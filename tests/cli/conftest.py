"""The stranger's model and data as files, and its pack made by the command line itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cli_runs import only_json, run
from tests.conftest import build_stranger
from tests.evaluation.conftest import SAFE, UNSAFE, write_requests


@dataclass(frozen=True)
class Workplace:
    """A folder with a model, query files, prompts, labelled requests, and the pack calibrated from them."""

    folder: Path
    model: Path
    data: Path
    pack: Path
    summary: dict[str, Any]
    log: str


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("workplace")
    model = build_stranger(folder / "my model", tied=True, padding_side="right")
    data = write_requests(folder / "data", 14)
    (folder / "unsafe.txt").write_text("\ufeff# to refuse\n\n" + "\r\n".join(UNSAFE) + "\n", encoding="utf-8")
    (folder / "safe.txt").write_text("\n".join(SAFE), encoding="utf-8")
    prompts = {"visual_context": "w20 w21", "safety": "w22", "reformulation": "{safety} {visual_context} {query}"}
    (folder / "prompts.json").write_text(json.dumps({**prompts, "max_context_tokens": 5}), encoding="utf-8")
    done = run(
        *("calibrate", "my model", "--unsafe", "unsafe.txt", "--safe", "safe.txt", "--images", "data/requests.jsonl"),
        *("--prompts", "prompts.json", "--max-new-tokens", 8, "--out", "pack"),
        *("--license", "cc0-1.0", "--json"),
        cwd=folder,
    )
    return Workplace(folder, model, data, folder / "pack", only_json(done), done.stderr)
