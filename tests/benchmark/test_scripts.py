"""The scripts under benchmarks/: they leave CSV, PNG and the machine's facts, and the page's tables are the CSVs'."""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def script(name: str, *args: object) -> str:
    """Runs a script; what it wrote to stdout."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *map(str, args)],
        cwd=BENCHMARKS.parent,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


Table = Callable[..., str]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """Runs table.py in this process; what it says where it fails, else nothing."""

    def call(*args: object) -> str:
        monkeypatch.setattr(sys, "argv", ["table.py", *map(str, args)])
        try:
            runpy.run_path(str(BENCHMARKS / "table.py"), run_name="__main__")
        except SystemExit as ended:
            return str(ended.code)
        return ""

    return call


def test_the_page_is_what_the_recorded_csvs_say(table: Table) -> None:
    assert table("--check") == ""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_memory_is_measured_and_ours_does_not_grow_with_the_scores(tmp_path: Path) -> None:
    path = Path(script("memory_of_attention.py", "--device", "cpu", "--largest", 128, "--results", tmp_path).strip())
    small, large = rows_of(path)
    scores = 8 * 4 * 128 * 1280 / 1e6
    assert float(large["eager_mb"]) > scores, "eager torch holds the scores"
    assert float(large["ours_mb"]) < scores / 4, "ours does not"
    assert float(large["eager_mb"]) > float(small["eager_mb"])
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((path.parent / "machine.json").read_text())
    assert facts["machine"] == path.parent.name
    assert {"cpu", "cores", "flags", "threads", "torch", "versions"} <= set(facts)


def test_tables_hold_the_figures_and_a_page_that_differs_is_refused(tmp_path: Path, table: Table) -> None:
    folder = tmp_path / "results" / "some-machine"
    folder.mkdir(parents=True)
    facts = {"device": "cpu", "cpu": "Some CPU", "cores": 2, "torch": "2.13", "python": "3.11", "operators": "compiled"}
    (folder / "machine.json").write_text(json.dumps(facts))
    (folder / "memory_of_attention.csv").write_text(
        "text_rows,keys,dtype,ours_mb,eager_mb\n64,640,float32,0.25,5.5\n128,1280,float32,0.5,22\n"
    )
    (folder / "another.csv").write_text("what,how_much\nall,1\n")
    page = tmp_path / "README.md"
    page.write_text((BENCHMARKS / "README.md").read_text())
    args = ("--page", page, "--results", tmp_path / "results")
    assert table(*args) == ""
    text = page.read_text()
    assert "Some CPU, 2 cores; torch 2.13" in text
    assert "| text rows | keys | type | ours MB | eager MB |" in text
    assert "| 128 | 1280 | float32 | 0.5 | 22 |" in text
    assert "| what | how_much |" in text
    assert table("--check", *args) == ""
    page.write_text(text.replace("| 0.5 | 22 |", "| 0.1 | 22 |"))
    assert "is not what the CSVs say" in table("--check", *args)
    page.write_text("no markers")
    assert "put them back" in table(*args)


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU: the script would run")
def test_gpu_limits_skips_in_one_sentence_without_a_gpu() -> None:
    assert script("gpu_limits.py") == "gpu_limits: skipped, torch sees no GPU here\n"
