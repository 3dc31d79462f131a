"""The CUDA sources compile for every architecture the library is built for, without spilling registers."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
ARCHS = ("80", "86", "89", "90", "100", "120")

pytestmark = pytest.mark.skipif(
    shutil.which("nvcc") is None, reason="nvcc is not on PATH: the CUDA sources stay unread"
)


def _compile(source: Path, target: Path, archs: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    command = ["nvcc", "-O3", "-std=c++20", "-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020a000000000000ULL"]
    command += ["-Xcompiler=-fPIC", "-Xptxas=--warn-on-spills,--warning-as-error"]
    command += [f"-I{path}" for path in cpp_extension.include_paths()]
    command += [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    command += [f"-gencode=arch=compute_{archs[-1]},code=compute_{archs[-1]}", "--threads=2"]
    return subprocess.run([*command, "-c", str(source), "-o", str(target)], capture_output=True, text=True, timeout=300)


def test_every_source_compiles_for_every_architecture(tmp_path):
    assert SOURCES, "no CUDA sources found"
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda source: _compile(source, tmp_path / f"{source.stem}.o", ARCHS), SOURCES))
    for source, result in zip(SOURCES, done, strict=True):
        assert result.returncode == 0, f"{source.name}: {result.stderr[-2000:]}"


def test_a_kernel_that_spills_is_refused(tmp_path):
    """The twin: the flags above must catch a spill."""
    spilling = tmp_path / "spills.cu"
    spilling.write_text(
        "__global__ void __launch_bounds__(1024) k(float* x) {\n"
        "  float v[256];\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 256; ++i) v[i] = x[i * 1024 + threadIdx.x];\n"
        "  __syncthreads();\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 256; ++i) x[i * 1024 + threadIdx.x] = v[255 - i] * v[(i * 7) % 256];\n"
        "}\n"
    )
    assert _compile(spilling, tmp_path / "spills.o", ("80",)).returncode != 0


def test_the_setup_script_builds_for_these_architectures():
    text = (ROOT / "setup.py").read_text()
    listed = text.split('CUDA_ARCHS = "')[1].split('"')[0]
    assert listed == ";".join(f"{arch[:-1]}.{arch[-1]}" for arch in ARCHS) + "+PTX"
    assert torch.__version__
