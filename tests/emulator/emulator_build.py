"""Compiles the CUDA kernels for the host: as a Python module, and as a program under each sanitizer.

Results are kept under ``build/emulator`` by a hash of everything that goes in, so a second run compiles nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OPERATORS = tuple(sorted(path.stem.removeprefix("bind_") for path in HERE.glob("bind_*.cpp")))

FLAGS = ["-std=c++20", "-O1", "-g1", "-fPIC", "-ffp-contract=off", "-Wall", "-Wno-unused-parameter", "-Wno-clobbered"]
SANITIZERS = {
    "plain": [],
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DRAS_EMULATOR_THREADS"],
    "thread": ["-fsanitize=thread", "-DRAS_EMULATOR_THREADS"],
}


def toolkit_headers() -> Path | None:
    """The folder of CUDA's headers, which the kernels' sixteen-bit types come from; none without a toolkit."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    if nvcc := shutil.which("nvcc"):
        homes.append(str(Path(nvcc).resolve().parent.parent))
    for home in homes:
        if home and Path(home, "include", "cuda_bf16.h").is_file():
            return Path(home, "include")
    return None


def build_module(csrc: Path = ROOT / "csrc") -> Path:
    """The folder of the Python module ``emulated_kernels`` with every operator."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    return _build(f"emulated_kernels{suffix}", "module.cpp", OPERATORS, [*FLAGS, *include], ["-shared"], csrc).parent


def build_program(sanitizer: str, operators: tuple[str, ...] = OPERATORS, csrc: Path = ROOT / "csrc") -> Path:
    """The program that runs a case from a file, under "address", "thread" or no ("plain") sanitizer."""
    flags = [*FLAGS, *SANITIZERS[sanitizer]]
    return _build(f"run_case_{sanitizer}", "run_case.cpp", operators, flags, SANITIZERS[sanitizer], csrc)


def _build(name: str, main: str, operators: tuple[str, ...], flags: list[str], link: list[str], csrc: Path) -> Path:
    headers = toolkit_headers()
    assert headers is not None, "no CUDA headers; tests that build skip without them"
    sources = [HERE / main, *(HERE / f"bind_{operator}.cpp" for operator in operators)]
    key = hashlib.sha256(repr((name, operators, flags, link, str(headers))).encode())
    for path in sorted([*HERE.glob("*.h"), *sources, *(csrc / "kernels").iterdir()]):
        key.update(path.name.encode() + path.read_bytes())
    folder = ROOT / "build" / "emulator" / key.hexdigest()[:16]
    target = folder / name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    include = [f"-I{HERE}", f"-I{csrc}", "-isystem", str(headers), '-DRAS_EMULATOR="emulator.h"']

    def compile_one(source: Path) -> str:
        built = folder / f"{source.stem}.o"
        _run(["g++", *flags, *include, "-c", str(source), "-o", str(built)])
        return str(built)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        objects = list(pool.map(compile_one, sources))
    _run(["g++", *link, *objects, "-pthread", "-o", str(target)])
    for built in objects:
        Path(built).unlink()
    return target


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
