"""Everything that needs a GPU, in one command: build for this GPU, tests, graphs, sanitizers, races, benchmarks.

``python scripts/gpu_check.py [--dry-run] [--results FOLDER]`` with any Python that has torch, from a source tree,
without network and without installing. Works on a copy of the tree under build/gpu-check, where ``registry/`` lies
where the package expects it. Writes ``summary.json``, ``summary.md`` and one log a step into the results folder
(``benchmarks/results/<machine>``). A failed step does not stop the others; the exit code is 1 if any failed.
``--dry-run`` takes every step as far as a CPU allows and says for each what stood in for the GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gpu_judges as judges
from gpu_machine import folder_name, machine

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv*", "build", "dist", "out", "results", "__pycache__", ".*_cache", "*.egg-info", "*.so")
SHAPE = "llava-1.5-7b-shape"
EMULATED = ["tests/emulator/test_emulated_steering.py", "-k", "bits_of_the_cpu or outside"]
BUILT_HERE = ["--ignore=tests/ops/test_cuda_build.py"]
LIMIT_SECONDS = 950.0  # of the whole run


@dataclass(frozen=True)
class Command:
    """A program, what is added to its environment, where its output goes if not to the log, and how it must end."""

    words: list[str]
    environ: dict[str, str] = field(default_factory=dict)
    stdout: Path | None = None
    code: int = 0


@dataclass(frozen=True)
class Step:
    """One step: commands in turn, at most `limit` seconds together.

    Attributes:
        judge: from the log of commands that ended as they must to (ok, detail).
        stand_in: what a dry run does in place of the real thing; empty where it is the same.
    """

    name: str
    commands: list[Command]
    limit: float
    judge: Callable[[str], tuple[bool, str]] | None = None
    stand_in: str = ""


@dataclass(frozen=True)
class Outcome:
    step: str
    ok: bool
    seconds: float
    detail: str


def stage(tree: Path) -> None:
    """Copies the sources there, keeping what was built before; the registry goes where the package expects it.

    The emulated kernels, which a dry run uses, are kept by the hash of their sources, so they come along.
    """
    tree.mkdir(parents=True, exist_ok=True)
    for old in tree.iterdir():
        if old.name != "build":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(ROOT, tree, ignore=ignore, dirs_exist_ok=True)
    if (emulated := ROOT / "build" / "emulator").is_dir():
        shutil.copytree(emulated, tree / "build" / "emulator", dirs_exist_ok=True)
    shutil.copytree(ROOT / "registry", tree / "ras_ext" / "registry", ignore=ignore, dirs_exist_ok=True)


def libraries_at_hand() -> list[Path]:
    """The CPU libraries that lie in the source tree, if they are of these sources."""
    found = [path for stem in ("_C", "_plans") for path in (ROOT / "ras_ext").glob(f"{stem}.*.so")]
    sources = [path.stat().st_mtime for path in (ROOT / "csrc").rglob("*") if path.is_file()]
    return found if len(found) == 2 and max(sources) < min(path.stat().st_mtime for path in found) else []


def run(step: Step, cwd: Path, environ: dict[str, str], logs: Path, left: float) -> Outcome:
    """Runs a step's commands one after the other; the first that fails ends it."""
    began = time.monotonic()
    log = logs / f"{step.name}.log"
    log.write_text("")
    limit = min(step.limit, left)
    ok, detail = True, ""
    for command in step.commands:
        rest = limit - (time.monotonic() - began)
        if rest <= 0:
            ok, detail = False, f"no time left, the limit is {limit:.0f} s"
            break
        code = _run(command, cwd, environ | command.environ, log, rest)
        if code is None:
            ok, detail = False, f"stopped after {limit:.0f} s"
            break
        if code != command.code:
            wanted = f", not {command.code}" if command.code else ""
            ok, detail = False, f"ended with {code}{wanted}: {_last_line(log)}"
            break
    if ok:
        try:
            ok, detail = step.judge(log.read_text(errors="replace")) if step.judge else (True, _last_line(log))
        except (OSError, ValueError, KeyError, SyntaxError) as error:
            ok, detail = False, f"its results cannot be read: {error}"
    if step.stand_in:
        detail = f"[{step.stand_in}] {detail}"
    return Outcome(step.name, ok, round(time.monotonic() - began, 1), detail)


def _run(command: Command, cwd: Path, environ: dict[str, str], log: Path, limit: float) -> int | None:
    """The exit code, or ``None`` where the time was up; everything the program started is ended with it."""
    with log.open("a") as file:
        file.write(f"$ {' '.join(command.words)}\n")
        file.flush()
        output = command.stdout.open("w") if command.stdout else file
        try:
            started = subprocess.Popen(
                command.words, cwd=cwd, env=environ, stdout=output, stderr=file, start_new_session=True
            )
            try:
                return started.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
                return None
        except OSError as error:
            file.write(f"{command.words[0]} cannot be started: {error.strerror}\n")
            return 127
        finally:
            if output is not file:
                output.close()


def _last_line(log: Path) -> str:
    lines = [line.strip(" =") for line in log.read_text(errors="replace").splitlines() if line.strip(" =")]
    return lines[-1][:300] if lines else "it said nothing"


def steps(python: str, results: Path, facts: dict[str, object], dry: bool) -> list[Step]:
    """The run, in order; times are those of a GPU machine with 16 cores."""
    device = "cpu" if dry else "cuda"
    driver = [python, "tests/ops/drive_ops.py"]
    report = results / "tests.xml"
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    digests = results / "digests.json"
    times = "3" if dry else "200"

    def on_device(*words: str) -> list[str]:
        return [*driver, *words, "--device", device, *(["--size", "odd"] if dry else [])]

    build = {"RAS_EXT_CUDA": "0"} if dry else {"RAS_EXT_CUDA": "1", "TORCH_CUDA_ARCH_LIST": str(facts.get("arch"))}
    setup = Command([python, "setup.py", "-q", "build_ext", "--inplace"], build)
    if at_hand := libraries_at_hand() if dry else []:
        setup = Command(["cp", *map(str, at_hand), "ras_ext"])
    tests = ["tests/ops/test_op_steer.py"] if dry else ["tests/ops", "tests/test_on_gpu.py", *BUILT_HERE]
    return [
        Step(
            "build",
            [
                setup,
                Command([python, "-c", "from ras_ext import compiled; print(compiled.load())"]),
            ],
            150,
            stand_in="CPU library at hand" if at_hand else "CPU library" if dry else "",
        ),
        Step(
            "tests",
            [Command([*pytest, *tests])],
            150,
            lambda log: judges.tests(report, needs_cuda=not dry),
            "CPU rows of one operator" if dry else "",
        ),
        Step("graphs", [Command(on_device("graph"))], 60, stand_in="ordinary calls for graphs" if dry else ""),
        *sanitizers(python, str(facts.get("arch", "")), on_device("digest"), dry),
        Step(
            "dependent launches",
            [
                Command(on_device("digest", "--out", str(digests)), {"RAS_EXT_PDL": "0"}),
                Command(on_device("repeat", "--repeat", times, "--against", str(digests)), {"RAS_EXT_PDL": "1"}),
            ],
            60,
            stand_in="CPU" if dry else "",
        ),
        *benchmarks(python, results, folder_name(facts), dry),
    ]


def sanitizers(python: str, arch: str, driven: list[str], dry: bool) -> list[Step]:
    """compute-sanitizer over our kernels only, each tool after it has found a planted fault; on a CPU the emulator."""
    if dry:
        words = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *EMULATED]
        return [Step("memcheck and racecheck", [Command(words)], 180, stand_in="emulator")]
    faults = "build/planted_faults"
    compile_faults = ["nvcc", f"-arch=sm_{arch.replace('.', '')}", "-o", faults, "tests/ops/planted_faults.cu"]
    found = []
    for tool, fault in (("memcheck", "overrun"), ("racecheck", "race")):
        watched = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "--kernel-name", "kns=_ZN3ras"]
        planted = [Command(compile_faults), Command([*watched, faults, fault], code=9)]
        found.append(Step(f"{tool} control", planted, 40, judges.planted))
        # The allocator would hide a write past a tensor's end inside a block of its own.
        whole = Command([*watched, *driven], {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})
        found.append(Step(tool, [whole], 90, judges.sanitizer))
    return found


def benchmarks(python: str, results: Path, folder: str, dry: bool) -> list[Step]:
    """The limits of this GPU beside what the operators reach, and the selection of ``ras-ext bench``."""
    # The script opens a folder of the machine's name itself.
    above = results.parent if results.name == folder else results
    limits = Command([python, "benchmarks/gpu_limits.py", "--results", str(above)])
    table = above / folder / "gpu_limits.csv"
    smallest = ["--op", "steer_", "--dtype", "float32", "--shape", "B=1 D=4096", "--no-compile", "--device", "cpu"]
    words = [python, "-c", "from ras_ext.cli import main; main()", "bench", "--json"]
    rows = results / "bench.json"
    bench = Command([*words, *(smallest if dry else ["--device", "cuda"])], stdout=rows)
    whole = [python, "benchmarks/end_to_end.py", "--results", str(above), "--no-own", "--rounds", "1"]
    short = ["--device", "cpu", "--tokens", "4", "--requests", "2", "--batches", "2", "--compile", "--no-peaks"]
    shape = ["--subject", SHAPE, "--batches", "1", "8", "32", "--batches-each", "1", "--compile", "1"]
    costs = above / folder / f"end_to_end_{SHAPE}.csv"
    return [
        Step("limits", [limits], 120, stand_in="nothing to measure without a GPU")
        if dry
        else Step("limits", [limits], 120, lambda log: judges.limits(table)),
        Step("bench", [bench], 150, lambda log: judges.bench(rows), "one row, on the CPU" if dry else ""),
        Step("end to end", [Command([*whole, *short])], 120, stand_in="the organism, two requests, on the CPU")
        if dry
        else Step("end to end", [Command([*whole, *shape])], 540, lambda log: judges.end_to_end(costs)),
        *in_vllm(python, above, dry),
    ]


def in_vllm(python: str, results: Path, dry: bool) -> list[Step]:
    """Where vLLM is installed: the guard's answers under its runner for GPUs, and what the defence costs there."""
    if dry or importlib.util.find_spec("vllm") is None:
        return []
    same = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/serve/in_vllm/test_same_as_guard.py"]
    costs = [python, "benchmarks/in_vllm.py", "--out", str(results), "--rounds", "3"]
    return [Step("same answers in vLLM", [Command(same)], 240), Step("costs in vLLM", [Command(costs)], 400)]


def report(results: Path, facts: dict[str, object], outcomes: list[Outcome], dry: bool) -> None:
    """``summary.json`` and ``summary.md``, written anew after each step so that a run cut short leaves them."""
    told = {"dry_run": dry, "machine": facts, "steps": [asdict(outcome) for outcome in outcomes]}
    (results / "summary.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    lines = ["# GPU check" + (": a dry run without a GPU" if dry else ""), ""]
    lines += [f"* {name}: {value}" for name, value in facts.items() if value is not None]
    lines += ["", "| step | ok | seconds | detail |", "|---|---|---|---|"]
    for outcome in outcomes:
        detail = outcome.detail.replace("|", "\\|")
        lines.append(f"| {outcome.step} | {'yes' if outcome.ok else '**no**'} | {outcome.seconds} | {detail} |")
    (results / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def earlier(results: Path, facts: dict[str, object], dry: bool) -> dict[str, Outcome]:
    """What a run before has said of its steps, if it was of the same kind on this machine."""
    try:
        told = json.loads((results / "summary.json").read_text(encoding="utf-8"))
        if told["dry_run"] is not dry or told["machine"] != json.loads(json.dumps(facts)):
            return {}
        return {step["step"]: Outcome(**step) for step in told["steps"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", default=os.environ.get("DRY", "0") not in ("", "0"))
    parser.add_argument("--results", type=Path, default=os.environ.get("RESULTS") or None)
    parser.add_argument("--tree", type=Path, default=ROOT / "build" / "gpu-check" / "tree", help="where to work")
    parser.add_argument("--only", help="steps to run, separated by commas; the summary keeps the others as they were")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds for the whole run")
    given = parser.parse_args()
    python = os.environ.get("PYTHON") or sys.executable
    facts = machine(python)
    if not given.dry_run and "gpu" not in facts:
        sys.exit("gpu-check: torch sees no GPU here; --dry-run (DRY=1) goes as far as a CPU allows")
    default = ROOT / "build" / "gpu-check" / "dry" if given.dry_run else ROOT / "benchmarks" / "results"
    results = Path(given.results or default / folder_name(facts)).resolve()
    (results / "logs").mkdir(parents=True, exist_ok=True)
    tree = given.tree.resolve()
    stage(tree)
    environ = os.environ | {
        "PYTHONPATH": str(tree),
        "RAS_EXT_REQUIRE_COMPILED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    deadline = time.monotonic() + given.limit
    known = earlier(results, facts, given.dry_run) if given.only else {}
    outcomes: list[Outcome] = []
    for step in steps(python, results, facts, given.dry_run):
        if given.only and step.name not in given.only.split(","):
            continue
        said = run(step, tree, environ, results / "logs", deadline - time.monotonic())
        outcomes.append(said)
        known[step.name] = said
        report(results, facts, list(known.values()), given.dry_run)
        print(f"{'ok    ' if said.ok else 'FAILED'} {said.seconds:6.1f} s  {said.step}: {said.detail}", flush=True)
    print(f"gpu-check: {results / 'summary.md'}")
    sys.exit(not all(outcome.ok for outcome in outcomes))


if __name__ == "__main__":
    main()
