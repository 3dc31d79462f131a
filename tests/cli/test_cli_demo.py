"""The demo as a bare machine runs it, and the stranger parts of the installation it may stand in."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import ras_ext
from tests.cli.cli_runs import only_json, run


def test_the_demo_compares_the_defences_on_the_organism(tmp_path: Path) -> None:
    done = run("demo", "--items", 48, "--batch-size", 24, "--out", "shown", "--json", cwd=tmp_path)
    found = only_json(done)
    assert found["model"] == "builtin:organism"
    assert set(found["vectors"]) >= {"n_tokens", "gamma", "alpha", "s_base"}
    rows = {row["defense"]: row for row in found["rows"]}
    assert list(rows) == ["none", "safety_prompt", "ras", "ras_auto"]
    assert found["seconds"] > 0
    assert all((row["n_unsafe"], row["n_safe"]) == (24, 24) for row in rows.values())
    assert rows["ras"]["asr"] < rows["none"]["asr"] - 0.5
    assert rows["ras_auto"]["asr_content"] < rows["none"]["asr_content"] - 0.4
    assert rows["none"]["relative_throughput"] == 1.0
    records = (tmp_path / "shown" / "items.jsonl").read_text("utf-8").splitlines()
    assert len(records) == 4 * 48
    page = (tmp_path / "shown" / "report.html").read_text("utf-8")
    assert f"{100 * rows['ras']['asr']:.1f} %" in page

    again = run("demo", "--items", 24, "--out", "shown", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "safety_prompt" in again.stdout
    assert "shown/report.html" in again.stdout
    assert len((tmp_path / "shown" / "items.jsonl").read_text("utf-8").splitlines()) == 4 * 24


def test_doctor_reports_this_installation(tmp_path: Path) -> None:
    import torch

    found = only_json(run("doctor", "--json", cwd=tmp_path))
    assert {"ras_ext", "torch", "cpu_ops", "cuda_ops", "cuda_archs", "why"} <= set(found)
    assert found["ras_ext"] == ras_ext.__version__
    assert found["torch"] == torch.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert isinstance(found["cuda_archs"], list)
    assert found["cpu_ops"] or found["why"]


def test_doctor_works_without_torch_and_says_so(tmp_path: Path) -> None:
    done = run("doctor", "--json", cwd=tmp_path, before="import sys; sys.modules['torch'] = None")
    found = only_json(done)
    assert (found["torch"], found["cpu_ops"]) == (None, False)
    assert "torch cannot be loaded" in found["why"]
    shown = run("doctor", cwd=tmp_path, before="import sys; sys.modules['torch'] = None")
    assert shown.returncode == 0
    assert "not installed" in shown.stdout


def test_doctor_works_without_the_compiled_library_even_where_it_is_required(tmp_path: Path) -> None:
    source = Path(ras_ext.__file__).parent
    ignore = shutil.ignore_patterns("*.so", "model", "pack", "__pycache__")
    shutil.copytree(source, tmp_path / "ras_ext", ignore=ignore)
    for environ in ({}, {"RAS_EXT_REQUIRE_COMPILED": "1"}):
        done = run("doctor", "--json", cwd=tmp_path, PYTHONPATH=str(tmp_path), **environ)
        found = only_json(done)
        assert found["cpu_ops"] is False
        assert "_C" in found["why"]
        assert found["torch"]


def test_help_is_quick_and_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    heavy = "('torch', 'transformers', 'matplotlib')"
    before = (
        "import atexit, json, sys\n"
        f"loaded = lambda: [name for name in {heavy} if name in sys.modules]\n"
        "atexit.register(lambda: sys.stderr.write(json.dumps(loaded())))"
    )
    for command in ([], ["demo"], ["calibrate"], ["ask"], ["eval"], ["doctor"]):
        done = run(*command, "--help", cwd=tmp_path, before=before)
        assert done.returncode == 0
        assert "Usage: ras-ext" in done.stdout
        assert json.loads(done.stderr) == []
    blocked = run(
        "--help", cwd=tmp_path, before="import sys; sys.modules['torch'] = sys.modules['transformers'] = None"
    )
    assert blocked.returncode == 0
    for command in ("demo", "calibrate", "ask", "eval", "doctor"):
        assert command in blocked.stdout
    assert run("--version", cwd=tmp_path).stdout == f"ras-ext {ras_ext.__version__}\n"
