"""Calibrate, ask and evaluate a model the package has never seen, through real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ras_ext import load_vectors
from tests.cli.cli_runs import CALL, only_json, run
from tests.cli.conftest import Workplace
from tests.evaluation.conftest import write_requests

ROW = {"defense", "asr", "asr_content", "over_refusal", "utility", "tokens_per_s", "relative_throughput"}


def test_calibrate_writes_the_pack_it_reports(workplace: Workplace) -> None:
    found = workplace.summary
    vectors = load_vectors(workplace.pack)
    assert Path(found["out"]) == workplace.pack.resolve()
    assert found["s_base"] == pytest.approx(vectors.s_base)
    assert found["alpha"] == pytest.approx(vectors.alpha)
    assert found["n_tokens"] == vectors.n_tokens
    assert set(found["schedules"]) == {"paper", "auto"} == set(vectors.schedules)
    mean, low = found["similarity_unsafe"]
    assert low <= mean
    mean, high = found["similarity_safe"]
    assert mean <= high
    assert found["seconds"] > 0
    assert found["source"] == "images"
    assert found["warnings"], "an untrained model refuses nothing, and calibration must say so"
    assert vectors.prompts.visual_context == "w20 w21"
    assert vectors.prompts.max_context_tokens == 5


def test_a_pack_does_not_carry_paths_of_the_machine(workplace: Workplace) -> None:
    assert load_vectors(workplace.pack).base_model.id == "my model"
    files = [path for path in workplace.pack.rglob("*") if path.is_file()]
    assert {"similarities.csv", "risk.png", "threshold.png", "README.md"} <= {path.name for path in files}
    for path in files:
        assert str(workplace.folder).encode() not in path.read_bytes()


def test_calibrate_gives_the_pack_its_licence(workplace: Workplace) -> None:
    assert load_vectors(workplace.pack).license == "cc0-1.0"


def test_ask_answers_with_its_receipt(workplace: Workplace) -> None:
    image = workplace.data.parent / "1.png"
    done = run(
        *("ask", workplace.model, "--vectors", workplace.pack, "--image", image, "--text", "w1 w2"),
        *("--max-new-tokens", 5, "--json"),
        cwd=workplace.folder,
    )
    found = only_json(done)
    assert {"text", "risk", "similarity", "visual_context", "refused", "tokens", "seconds"} <= set(found)
    assert 0 <= found["risk"] <= 1
    assert 0 < found["tokens"] <= 5
    assert isinstance(found["refused"], bool)


def test_eval_prints_rows_and_keeps_the_answers(workplace: Workplace) -> None:
    done = run(
        *("eval", workplace.model, "--vectors", workplace.pack, "--data", workplace.data, "--defense", "ras"),
        *("--defense", "safety_prompt", "--max-new-tokens", 6, "--batch-size", 5, "--json"),
        cwd=workplace.folder,
    )
    found = only_json(done)
    assert [row["defense"] for row in found["rows"]] == ["ras", "safety_prompt", "none"]
    for row in found["rows"]:
        assert set(row) >= {*ROW, "n_unsafe", "n_safe"}
        assert (row["n_unsafe"], row["n_safe"]) == (7, 7)
    assert found["rows"][2]["relative_throughput"] == 1.0
    records = [json.loads(line) for line in (workplace.folder / found["items"]).read_text("utf-8").splitlines()]
    assert len(records) == 3 * 14
    refused = [r["refused"] for r in records if r["defense"] == "ras" and r["label"] == "unsafe"]
    assert found["rows"][0]["asr"] == pytest.approx(1 - sum(refused) / 7)
    assert (workplace.folder / found["report"]).read_text("utf-8").startswith("<!DOCTYPE html>")


def test_eval_records_its_table_in_the_pack_whose_id_stays(workplace: Workplace, tmp_path: Path) -> None:
    pack = shutil.copytree(workplace.pack, tmp_path / "pack")
    before = load_vectors(pack)
    done = run(
        *("eval", workplace.model, "--vectors", pack, "--data", workplace.data, "--defense", "ras", "--record"),
        *("--max-new-tokens", 6, "--out", tmp_path / "out", "--dtype", "bfloat16", "--json"),
        cwd=workplace.folder,
    )
    found = only_json(done)
    assert found["recorded"] == str(pack)
    assert "recorded in" in done.stderr
    after = load_vectors(pack)
    assert after.content_sha256 == before.content_sha256
    assert after.prototypes.dtype == before.prototypes.dtype
    assert after.digest != before.digest
    kept = after.evidence["evaluation"]
    assert [row["defense"] for row in kept["rows"]] == ["ras", "none"]
    assert kept["rows"][0]["asr"] == pytest.approx(found["rows"][0]["asr"], abs=1e-6)
    assert kept["data"] == "requests.jsonl"
    assert kept["environment"]["dtype"] == "bfloat16"
    assert "| ras | 7 | 7 |" in (pack / "README.md").read_text("utf-8")
    for path in pack.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_an_interrupted_eval_says_how_to_go_on_and_goes_on(workplace: Workplace, tmp_path: Path) -> None:
    data = write_requests(tmp_path, 30)
    args = ["eval", workplace.model, "--data", data, "--defense", "safety_prompt", "--out", tmp_path / "out"]
    args += ["--batch-size", 1, "--max-new-tokens", 8, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run started in the background may have handed down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    items = tmp_path / "out" / "items.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and (not items.exists() or items.read_bytes().count(b"\n") < 4):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    kept = items.read_bytes().count(b"\n")
    assert 4 <= kept < 60
    assert (
        stderr.splitlines()[-1]
        == f"interrupted; what was answered is kept, go on with the same command and --out {tmp_path / 'out'}"
    )
    assert "Traceback" not in stderr
    assert json.loads(stdout) == {"error": stderr.splitlines()[-1]}

    done = run(*args, cwd=tmp_path)
    assert len(only_json(done)["rows"]) == 2
    assert f"{kept} answers were taken over" in done.stderr
    ids = [(row["defense"], row["id"]) for row in map(json.loads, items.read_text("utf-8").splitlines())]
    assert len(ids) == len(set(ids)) == 60
