"""The GPU check: its dry run goes through every step, a failed step is told and stops nothing, and its judges judge."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_check.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    sys.path.insert(0, str(SCRIPT.parent))
    spec.loader.exec_module(module)
    return module


def started(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("DRY", "RESULTS", "PYTHON", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        capture_output=True,
        text=True,
        env=clean | environ,
        timeout=300,
    )


def test_the_dry_run_goes_through_every_step_and_leaves_a_summary(tmp_path):
    done = started("--tree", tmp_path / "tree", "--results", tmp_path / "results", DRY="1")
    summary = json.loads((tmp_path / "results" / "summary.json").read_text())
    told = "\n".join(f"{step['step']}: {step['ok']} {step['detail']}" for step in summary["steps"])
    assert done.returncode == 0, f"{told}\n{done.stdout}{done.stderr}"
    assert summary["dry_run"] is True
    assert summary["machine"]["torch"]
    names = [step["step"] for step in summary["steps"]]
    assert names == [
        "build",
        "tests",
        "graphs",
        "memcheck and racecheck",
        "dependent launches",
        "limits",
        "bench",
        "end to end",
    ]
    assert all(step["ok"] and step["seconds"] > 0 for step in summary["steps"]), told
    assert all(step["detail"].startswith("[") for step in summary["steps"]), "a dry run says what stood in for the GPU"
    page = (tmp_path / "results" / "summary.md").read_text()
    assert page.startswith("# GPU check: a dry run without a GPU\n")
    assert all(f"| {name} | yes |" in page for name in names)
    assert all((tmp_path / "results" / "logs" / f"{name}.log").stat().st_size for name in names)


def test_without_a_gpu_and_without_dry_run_it_says_so_and_does_nothing(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = started("--tree", tmp_path / "tree", "--results", tmp_path / "results")
    assert done.returncode == 1
    assert done.stderr.strip() == ("gpu-check: torch sees no GPU here; --dry-run (DRY=1) goes as far as a CPU allows")
    assert not list(tmp_path.iterdir())


def test_a_python_without_torch_is_one_sentence(tmp_path):
    done = started(PYTHON="/bin/false")
    assert done.returncode == 1
    assert done.stderr.startswith("gpu-check: /bin/false cannot import torch; set PYTHON to one that can")


def outcome(check: ModuleType, tmp_path: Path, program: str, *, limit: float = 20.0, code: int = 0) -> object:
    step = check.Step("one", [check.Command([sys.executable, "-c", program], code=code)], limit)
    return check.run(step, tmp_path, dict(os.environ), tmp_path, 100.0)


def test_a_step_that_fails_is_told_with_its_last_line(check, tmp_path):
    got = outcome(check, tmp_path, "print('why it failed'); raise SystemExit(3)")
    assert (got.ok, got.detail) == (False, "ended with 3: why it failed")
    assert outcome(check, tmp_path, "print('fine')").ok
    assert outcome(check, tmp_path, "raise SystemExit(9)", code=9).ok
    got = outcome(check, tmp_path, "print('clean')", code=9)
    assert (got.ok, got.detail) == (False, "ended with 0, not 9: clean")


def test_a_program_that_is_not_there_fails_its_step(check, tmp_path):
    step = check.Step("one", [check.Command(["no-such-program-anywhere"])], 5)
    got = check.run(step, tmp_path, dict(os.environ), tmp_path, 100.0)
    assert (got.ok, got.detail) == (
        False,
        "ended with 127: no-such-program-anywhere cannot be started: No such file or directory",
    )


def test_a_step_over_its_time_is_stopped_with_all_it_started(check, tmp_path):
    sign = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(sign)!r}).touch()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    got = outcome(check, tmp_path, code, limit=1.0)
    assert (got.ok, got.detail) == (False, "stopped after 1 s")
    assert time.monotonic() - began < 3
    time.sleep(max(0.0, 4 - (time.monotonic() - began)))
    assert not sign.exists()


def test_the_whole_run_has_a_limit(check):
    assert check.LIMIT_SECONDS < 1000


def test_a_run_of_some_steps_keeps_what_was_said_of_the_others(check, tmp_path):
    facts = {"gpu": "NVIDIA H200", "torch": "2.13"}
    check.report(
        tmp_path, facts, [check.Outcome("build", True, 1.0, "built"), check.Outcome("tests", True, 2.0, "a")], False
    )
    assert [one.detail for one in check.earlier(tmp_path, facts, False).values()] == ["built", "a"]
    assert check.earlier(tmp_path, {**facts, "torch": "2.14"}, False) == {}
    assert check.earlier(tmp_path, facts, True) == {}
    (tmp_path / "summary.json").write_text("{")
    assert check.earlier(tmp_path, facts, False) == {}


def test_on_a_gpu_the_steps_are_the_real_ones(check, tmp_path):
    facts = {"gpu": "NVIDIA H200", "arch": "9.0"}
    real = check.steps("python", tmp_path, facts, dry=False)
    assert not any(step.stand_in for step in real)
    commands = {step.name: [" ".join(command.words) for command in step.commands] for step in real}
    assert real[0].commands[0].environ == {"RAS_EXT_CUDA": "1", "TORCH_CUDA_ARCH_LIST": "9.0"}
    assert "-arch=sm_90" in commands["memcheck control"][0]
    for tool in ("memcheck", "racecheck"):
        assert list(commands).index(f"{tool} control") < list(commands).index(tool)
        assert f"--tool {tool} " in commands[tool][0]
    assert [command.environ["RAS_EXT_PDL"] for command in real[-4].commands] == ["0", "1"]
    cuda = [words for step in commands.values() for words in step if "--device" in words]
    assert len(cuda) == 6
    assert all("--device cuda" in words for words in cuda)


ROW = '<testcase name="test_x[{}]">{}</testcase>'


@pytest.mark.parametrize(
    ("rows", "needs_cuda", "ok", "said"),
    [
        ([("cpu-f32", ""), ("cuda-f32", "")], True, True, "2 passed, 0 failed, 0 skipped; CUDA rows: 1 run, 0 skipped"),
        ([("cpu-f32", ""), ("cuda-f32", "<skipped message='no GPU'/>")], False, True, "1 passed, 0 failed, 1 skipped"),
        ([("cpu-f32", ""), ("cuda-f32", "<skipped message='no GPU'/>")], True, False, "no CUDA row ran"),
        (
            [("cuda-f16", ""), ("cuda-f32", "<skipped message='why'/>")],
            True,
            False,
            "test_x[cuda-f32] was skipped: why",
        ),
        ([("cuda-f32", "<failure/>"), ("cuda-f16", "")], True, False, "the first that failed is test_x[cuda-f32]"),
        ([("cuda-f32", "<error/>"), ("cuda-f16", "")], False, False, "the first that failed is test_x[cuda-f32]"),
        ([("cpu-f32", "")], True, False, "no CUDA row ran"),
    ],
)
def test_skipped_cuda_rows_fail_where_there_is_a_gpu(check, tmp_path, rows, needs_cuda, ok, said):
    report = tmp_path / "tests.xml"
    body = "".join(ROW.format(*row) for row in rows)
    report.write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
    got = check.judges.tests(report, needs_cuda)
    assert got[0] is ok, got
    assert said in got[1]


@pytest.mark.parametrize(
    ("log", "clean", "caught"),
    [
        ("========= ERROR SUMMARY: 0 errors\n", True, False),
        ("========= ERROR SUMMARY: 3 errors\n", False, True),
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", True, False),
        ("========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n", False, True),
        ("========= ERROR SUMMARY: 0 errors\n========= ERROR SUMMARY: 10 errors\n", False, True),
        ("nothing of the kind\n", False, False),
    ],
)
def test_the_sanitizers_word_is_read_both_ways(check, log, clean, caught):
    assert check.judges.sanitizer(log)[0] is clean
    assert check.judges.planted(log)[0] is caught


@pytest.mark.parametrize(
    ("times", "ok", "said"),
    [([1.5, 2.0], True, "2 of 2 rows"), ([1.5, None], False, "1 of 2 rows"), ([], False, "0 of 0 rows")],
)
def test_a_benchmark_without_a_time_is_no_benchmark(check, tmp_path, times, ok, said):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"rows": [{"us": time} for time in times]}))
    got = check.judges.bench(path)
    assert got[0] is ok
    assert got[1].startswith(said)


def test_an_aim_that_is_not_met_is_told_and_a_row_without_a_time_fails(check, tmp_path):
    path = tmp_path / "gpu_limits.csv"
    path.write_text("op,us,met\na,3.5,yes\nb,9.0,no\n")
    assert check.judges.limits(path) == (True, "2 of 2 rows measured, 1 meet their aim")
    path.write_text("op,us,met\na,3.5,yes\nb,,no\n")
    assert not check.judges.limits(path)[0]


def test_what_the_defence_costs_is_told_and_a_row_without_a_time_fails(check, tmp_path):
    path = tmp_path / "end_to_end.csv"
    path.write_text("defence,batch,relative_throughput,whole_ms\nundefended,8,1,300\nras,8,0.87,345\n")
    assert check.judges.end_to_end(path) == (True, "2 of 2 rows measured; relative throughput: batch 8 0.87")
    path.write_text("defence,batch,relative_throughput,whole_ms\nundefended,8,1,300\nras,8,0.87,\n")
    assert not check.judges.end_to_end(path)[0]
    path.write_text("defence,batch,relative_throughput,whole_ms\nundefended,8,1,300\n")
    assert not check.judges.end_to_end(path)[0]


def test_results_that_are_not_there_fail_their_step(check, tmp_path):
    missing = tmp_path / "bench.json"
    step = check.Step("one", [check.Command([sys.executable, "-c", ""])], 20, lambda log: check.judges.bench(missing))
    got = check.run(step, tmp_path, dict(os.environ), tmp_path, 100.0)
    assert not got.ok
    assert got.detail.startswith("its results cannot be read: ")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
def test_the_planted_faults_compile(tmp_path):
    source = ROOT / "tests" / "ops" / "planted_faults.cu"
    done = subprocess.run(
        ["nvcc", "-arch=sm_90", "-o", str(tmp_path / "faults"), str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_name_of_a_machine_is_a_folders_name(check):
    assert check.folder_name({"gpu": "NVIDIA H200"}) == "nvidia-h200"
    assert check.folder_name({}) == "cpu"
