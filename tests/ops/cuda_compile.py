"""nvcc over the CUDA sources, read back: registers, memory and spills of every kernel, and its PTX.

One run a source and architecture, two at a time, each kept under ``build/cuda-check`` by the hash of all it reads, so
that only what changed is compiled again. ``python tests/ops/cuda_compile.py`` writes the budgets anew (see
``kernel_budgets.json``); do that when a kernel is meant to take more, and say why in the commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
BUDGETS = Path(__file__).with_name("kernel_budgets.json")
KEPT = ROOT / "build" / "cuda-check"
ARCHS = ("80", "86", "89", "90", "100", "120")
MACHINES = tuple(f"sm_{arch}" for arch in ARCHS)
PTX = "compute_120"  # the PTX the library carries for GPUs to come
JOBS = 2
REGISTERS_OF_A_MULTIPROCESSOR = 65536


@dataclass(frozen=True)
class Kernel:
    """One instance of a kernel, as ptxas reports it. Bytes; `shared` is what no plan knows of: static shared memory."""

    name: str
    arch: str
    registers: int
    stack: int
    spilled: int
    shared: int


@dataclass(frozen=True)
class Compiled:
    """One run of nvcc: machine code for one architecture (with the host code for the first), or PTX.

    `seconds` are the processor's, so that other work on the machine does not count.
    """

    source: str
    target: str
    ok: bool
    said: str
    seconds: float
    kernels: tuple[Kernel, ...]
    ptx: str


@lru_cache(maxsize=1)
def _toolchain() -> tuple[str, str, tuple[str, ...]]:
    """nvcc's version, torch's, and where torch's headers are."""
    import torch
    from torch.utils import cpp_extension

    version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return version, torch.__version__, tuple(cpp_extension.include_paths())


def _command(source: Path, target: str, output: Path) -> list[str]:
    command = ["nvcc", "-O3", "-std=c++20", "-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020a000000000000ULL"]
    command += ["-Xcompiler=-fPIC", "-Xptxas=--warn-on-spills,--warning-as-error,-v"]
    command += [f"-I{path}" for path in _toolchain()[2]]
    kind = ["-ptx"] if target.startswith("compute") else ["-c"] if target == f"sm_{ARCHS[0]}" else ["-cubin"]
    return [*command, *kind, f"-arch={target}", str(source), "-o", str(output)]


def _reads(source: Path) -> list[Path]:
    """The source and every header of ours it includes, directly or not."""
    seen: list[Path] = []
    waiting = [source.resolve()]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.append(path)
        waiting += [(path.parent / name).resolve() for name in re.findall(r'#include "([^"]+)"', path.read_text())]
    return sorted(seen)


def _key(source: Path, target: str) -> str:
    told = hashlib.sha256(Path(__file__).read_bytes())
    told.update(repr((_toolchain()[:2], target)).encode())
    for path in _reads(source):
        told.update(path.name.encode() + path.read_bytes())
    return told.hexdigest()[:24]


def _kernels(said: str, arch: str) -> tuple[Kernel, ...]:
    demangled = subprocess.run(["c++filt"], input=said, capture_output=True, text=True, check=True).stdout
    found = []
    for part in demangled.split("Compiling entry function '")[1:]:
        name = re.match(r"(?:void )?(?:\w+::|\(anonymous namespace\)::)*(\w+)", part)
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        used = re.search(r"Used (\d+) registers(?:.*?, (\d+) bytes smem)?", part)
        assert all((name, stack, used)), f"ptxas said something new: {part[:400]}"
        found.append(
            Kernel(name[1], arch, int(used[1]), int(stack[1]), int(stack[2]) + int(stack[3]), int(used[2] or 0))
        )
    return tuple(found)


def _faults(said: str) -> str:
    """What nvcc complained of, without ptxas' report of what went well."""
    lines = [line for line in said.splitlines() if not re.match(r"ptxas info|\s+\d+ bytes stack frame", line)]
    done = subprocess.run(["c++filt"], input="\n".join(lines), capture_output=True, text=True, check=True)
    return done.stdout.strip()[-4000:]


def compile_one(source: Path, target: str) -> Compiled:
    """nvcc of one source for ``sm_XX`` or ``compute_XX``, from what was kept where nothing changed."""
    kept = KEPT / f"{source.stem}.{target}.{_key(source, target)}.json"
    if kept.is_file():
        values = json.loads(kept.read_text())
        return Compiled(**values | {"kernels": tuple(Kernel(**kernel) for kernel in values["kernels"])})
    KEPT.mkdir(parents=True, exist_ok=True)
    output = kept.with_suffix(".out")
    log = kept.with_suffix(".log")
    with log.open("w") as file:
        run = subprocess.Popen(_command(source, target, output), stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    ok = run.returncode == 0
    said = log.read_text()
    log.unlink()
    is_ptx = target.startswith("compute")
    result = Compiled(
        source.name,
        target,
        ok,
        "" if ok else _faults(said),
        usage.ru_utime + usage.ru_stime,
        _kernels(said, target.removeprefix("sm_")) if ok and not is_ptx else (),
        output.read_text() if ok and is_ptx else "",
    )
    output.unlink(missing_ok=True)
    for stale in KEPT.glob(f"{source.stem}.{target}.*.json"):
        stale.unlink()
    if ok:
        kept.write_text(json.dumps(asdict(result)))
    return result


def compile_all(targets: Iterable[str], sources: Iterable[Path] = SOURCES) -> list[Compiled]:
    """Every source for every target, the large sources first."""
    targets = list(targets)
    work = [(source, target) for source in sources for target in targets]
    work.sort(key=lambda one: -sum(len(path.read_text()) for path in _reads(one[0])))
    _toolchain()
    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(lambda one: compile_one(*one), work))


def most_registers(kernels: Iterable[Kernel]) -> dict[str, dict[str, int]]:
    """Per kernel and architecture the most registers any of its instances takes."""
    most: dict[str, dict[str, int]] = {}
    for kernel in kernels:
        of = most.setdefault(kernel.name, {})
        of[kernel.arch] = max(of.get(kernel.arch, 0), kernel.registers)
    return most


def over_budget(kernels: Iterable[Kernel], budgets: dict[str, dict[str, int]]) -> list[str]:
    """What takes more registers than it may, any stack, any static shared memory, or has no budget at all."""
    kernels = list(kernels)
    lines = []
    for name, by_arch in most_registers(kernels).items():
        for arch, registers in by_arch.items():
            allowed = budgets.get(name, {}).get(arch)
            if allowed is None:
                lines.append(f"{name} has no register budget for sm_{arch}")
            elif registers > allowed:
                lines.append(f"{name} takes {registers} registers on sm_{arch}, its budget is {allowed}")
    for kernel in kernels:
        if kernel.stack or kernel.spilled:
            lines.append(f"{kernel.name} keeps {kernel.stack} bytes on a stack on sm_{kernel.arch}")
        if kernel.shared:
            lines.append(f"{kernel.name} has {kernel.shared} bytes of shared memory of its own on sm_{kernel.arch}")
    return lines


def entries(ptx: str) -> dict[str, str]:
    """The PTX of all instances of a kernel, by its name."""
    demangled = subprocess.run(["c++filt"], input=ptx, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = {}
    for part in re.split(r"^(?:\.visible |\.weak )?\.entry ", demangled, flags=re.M)[1:]:
        name = re.match(r"(?:void )?(?:\w+::|\(anonymous namespace\)::)*(\w+)", part)
        assert name, part[:200]
        found[name[1]] = found.get(name[1], "") + part
    return found


def main() -> None:
    """Writes the budgets: what each kernel takes today, rounded up to the eight registers a thread is given them by."""
    done = compile_all(MACHINES)
    most = most_registers(kernel for one in done for kernel in one.kernels)
    rounded = {
        name: {arch: -(-by_arch[arch] // 8) * 8 for arch in ARCHS if arch in by_arch}
        for name, by_arch in sorted(most.items())
    }
    BUDGETS.write_text(json.dumps(rounded, indent=2) + "\n")
    print(f"{BUDGETS.name}: {len(rounded)} kernels, {sum(one.seconds for one in done):.0f} s of nvcc")
    if failed := [one for one in done if not one.ok]:
        raise SystemExit("\n".join(f"{one.source} for {one.target}: {one.said}" for one in failed))


if __name__ == "__main__":
    main()
