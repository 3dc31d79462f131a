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
        timeout=500,
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
    (folder / "end_to_end.csv").write_text(
        "defence,batch,new_tokens,relative_throughput,first_token_ms,relative_peak\n"
        "undefended,1,128,1,6.1,1\nras,1,128,0.92,24.8,0.99\nundefended,8,128,1,14.6,1\nras,8,own,0.4,48,\n"
    )
    (folder / "in_vllm.csv").write_text(
        "where,contender,traffic,tokens_per_s,against_undefended,against_guard\n"
        "vllm,undefended,same,500,1,1.4\nvllm,three stages,same,410,0.82,1.2\nvllm,three stages,mixed,300,0.7,1.6\n"
    )
    page, costs, served = tmp_path / "README.md", tmp_path / "guard.md", tmp_path / "deploy.md"
    served.write_text((BENCHMARKS.parent / "docs" / "deploy.md").read_text())
    page.write_text((BENCHMARKS / "README.md").read_text())
    costs.write_text((BENCHMARKS.parent / "docs" / "guard.md").read_text())
    args = ("--page", page, "--costs", costs, "--served", served, "--results", tmp_path / "results")
    assert table(*args) == ""
    text = page.read_text()
    assert "Some CPU, 2 cores; torch 2.13" in text
    assert "| text rows | keys | type | ours MB | eager MB |" in text
    assert "| 128 | 1280 | float32 | 0.5 | 22 |" in text
    assert "| what | how_much |" in text
    assert "| ras | 0.92 | 24.8 | 0.99 | – | – | – |" in costs.read_text()
    assert "| vllm | three stages | 410 | 0.82 | 1.2 | 300 | 0.7 | 1.6 |" in served.read_text()
    assert table("--check", *args) == ""
    page.write_text(text.replace("| 0.5 | 22 |", "| 0.1 | 22 |"))
    assert "is not what the CSVs say" in table("--check", *args)
    page.write_text("no markers")
    assert "put them back" in table(*args)


def test_whole_requests_are_timed_for_every_defence(tmp_path: Path) -> None:
    words = ("--tokens", 4, "--requests", 4, "--batches", 1, 2, "--rounds", 1, "--compile", "--no-own")
    rows = rows_of(Path(script("end_to_end.py", *words, "--device", "cpu", "--results", tmp_path).strip()))
    names = [row["defence"] for row in rows if row["batch"] == "1"]
    assert {"undefended", "constant", "ecso", "coca", "ras", "three prefills, one at a time"} <= set(names)
    assert len(rows) == 2 * len(names) - 1  # three prefills take one request at a time
    assert all(float(row[name]) > 0 for row in rows for name in ("whole_ms", "first_token_ms", "relative_throughput"))
    stages = [row for row in rows if row["stage_1_ms"]]
    assert [row["defence"] for row in stages] == ["ras", "ras"]
    assert all(float(row[name]) > 0 for row in stages for name in ("encode_ms", "stage_1_ms", "stage_2_ms"))
    weighed = {(row["defence"], row["batch"]): float(row["peak_mb"]) for row in rows if row["peak_mb"]}
    assert weighed["undefended", "1"] < weighed["undefended", "2"], "twice the rows hold more"
    weights = 1.3  # the organism's, in millions of f32
    assert weighed["undefended", "1"] > 4 * weights * 0.9


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU: the script would run")
def test_gpu_limits_skips_in_one_sentence_without_a_gpu() -> None:
    assert script("gpu_limits.py") == "gpu_limits: skipped, torch sees no GPU here\n"
