"""The CUDA sources for every architecture the library is built for: they compile, spill nothing, keep to their budgets.

Registers are held to ``kernel_budgets.json`` (``python tests/ops/cuda_compile.py`` writes it anew, for a kernel that is
meant to take more), shared memory to what every architecture of the list can give, and the PTX to the instructions
each kernel stands on. None of this needs a GPU, and none of it says how fast a kernel is.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import cuda_compile
import pytest
from cuda_compile import ARCHS, BUDGETS, JOBS, REGISTERS_OF_A_MULTIPROCESSOR, ROOT, Compiled, Kernel

from ras_ext import plans

LIMIT_SECONDS = 180.0

# What a kernel's PTX must hold, and no kernel's may. A 16-byte load is one of four 32-bit or two 64-bit values.
LOADS_16_BYTES = r"\bld\.global(\.\w+)*\.(v4\.\w*32|v2\.\w*64|\w?128)\b"
TENSOR_CORES = r"\bmma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.(f16|bf16)\.\1\.f32\b"
MATRIX_LOADS = r"\bldmatrix\.sync\.aligned\.m8n8\.x4\.(trans\.)?shared\.b16\b"
ASYNC_COPIES = r"\bcp\.async\.cg\.shared\.global\b"
FLOAT_ATOMICS = r"\b(red|atom)\.[\w.:]*\.(f16|f16x2|bf16|bf16x2|f32|f64)\b"
LOCAL_MEMORY = r"\b(ld|st)\.local\b|__local_depot"

EXPECTED: dict[str, tuple[str, ...]] = {
    "steer_kernel": (LOADS_16_BYTES,),
    "add_rms_norm_steer_kernel": (LOADS_16_BYTES,),
    "score_slices_kernel": (LOADS_16_BYTES,),
    "score_softmax_kernel": (LOADS_16_BYTES,),
    "score_mixture_kernel": (LOADS_16_BYTES,),
    "token_risk_kernel": (LOADS_16_BYTES,),
    "partial_lse_kernel": (TENSOR_CORES, MATRIX_LOADS, ASYNC_COPIES),
    "peak_kernel": (TENSOR_CORES, MATRIX_LOADS, ASYNC_COPIES),
}

# An array indexed by what is only known at run time cannot live in registers.
STACK = "  float s[64];\n  for (int i = 0; i < 64; ++i) s[int(x[i]) & 63] = x[i];\n  x[0] = s[int(x[64]) & 63];"

pytestmark = pytest.mark.skipif(
    shutil.which("nvcc") is None, reason="nvcc is not on PATH: the CUDA sources stay unread"
)


def built(targets: Iterable[str]) -> list[Compiled]:
    """Every source for these targets, all of them without a complaint."""
    done = cuda_compile.compile_all(targets)
    failed = [f"{one.source} for {one.target}: {one.said}" for one in done if not one.ok]
    assert not failed, "\n".join(failed)
    return done


@pytest.fixture(scope="module")
def compiled() -> list[Compiled]:
    """Every source for every architecture."""
    return built(cuda_compile.MACHINES)


@pytest.fixture(scope="module")
def ptx() -> dict[str, str]:
    """The PTX of every kernel, all its instances together."""
    found: dict[str, str] = {}
    for one in built([cuda_compile.PTX]):
        found.update(cuda_compile.entries(one.ptx))
    return found


def kernels(compiled: list[Compiled]) -> list[Kernel]:
    return [kernel for one in compiled for kernel in one.kernels]


def small(folder: Path, name: str, body: str, head: str = "") -> Path:
    """A source of one kernel in the namespace of ours, without torch."""
    source = folder / f"{name}.cu"
    source.write_text(f"namespace ras {{\n__global__ {head} void {name}(float* x) {{\n{body}\n}}\n}}\n")
    return source


def test_every_source_compiles_for_every_architecture(compiled, capsys):
    assert {one.source for one in compiled} == {path.name for path in (ROOT / "csrc" / "cuda").glob("*.cu")}
    assert {kernel.arch for kernel in kernels(compiled)} == set(ARCHS)
    seconds = sum(one.seconds for one in compiled) / JOBS
    with capsys.disabled():
        print(f"\nnvcc for {', '.join(ARCHS)}: {seconds:.0f} s on {JOBS} cores", end=" ")
    assert seconds < LIMIT_SECONDS, "the whole list has to be read in three minutes on two cores"


def test_every_kernel_keeps_to_its_register_budget_and_off_the_stack(compiled):
    budgets = json.loads(BUDGETS.read_text())
    lines = cuda_compile.over_budget(kernels(compiled), budgets)
    assert not lines, "\n".join(lines)
    gone = set(budgets) - {kernel.name for kernel in kernels(compiled)}
    assert not gone, f"budgets of kernels that are no more: {', '.join(sorted(gone))}"


def test_a_budget_is_no_wider_than_it_needs_to_be(compiled):
    """A budget left behind by a kernel that has become leaner would let it grow back unseen."""
    budgets = json.loads(BUDGETS.read_text())
    for name, by_arch in cuda_compile.most_registers(kernels(compiled)).items():
        for arch, registers in by_arch.items():
            assert budgets[name][arch] - registers < 16, f"{name} takes {registers} on sm_{arch}, write it anew"


def test_a_kernel_over_its_budget_fails(tmp_path, monkeypatch):
    """The twin: 96 values alive at once under a budget of 40."""
    monkeypatch.setattr(cuda_compile, "KEPT", tmp_path / "kept")
    hungry = small(
        tmp_path,
        "steer_kernel",
        "  float v[96];\n#pragma unroll\n  for (int i = 0; i < 96; ++i) v[i] = x[i * 256 + threadIdx.x];\n"
        "  __syncthreads();\n#pragma unroll\n"
        "  for (int i = 0; i < 96; ++i) x[i * 256 + threadIdx.x] = v[95 - i] * v[(i * 7) % 96];",
    )
    got = cuda_compile.compile_one(hungry, "sm_90")
    assert got.ok, got.said
    (line,) = cuda_compile.over_budget(got.kernels, {"steer_kernel": {"90": 40}})
    assert re.match(r"steer_kernel takes \d+ registers on sm_90, its budget is 40$", line)
    assert not cuda_compile.over_budget(got.kernels, {"steer_kernel": {"90": 255}})
    assert cuda_compile.over_budget(got.kernels, {}) == ["steer_kernel has no register budget for sm_90"]
    assert cuda_compile.compile_one(hungry, "sm_90") == got


def test_shared_memory_of_a_kernels_own_and_a_stack_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_compile, "KEPT", tmp_path / "kept")
    body = "  __shared__ float s[64];\n  s[threadIdx.x] = x[threadIdx.x];\n  __syncthreads();\n  x[0] = s[63];"
    got = cuda_compile.compile_one(small(tmp_path, "own_kernel", body), "sm_90")
    wide = {"own_kernel": {"90": 255}, "stack_kernel": {"90": 255}}
    assert cuda_compile.over_budget(got.kernels, wide) == [
        "own_kernel has 256 bytes of shared memory of its own on sm_90"
    ]
    body = STACK
    got = cuda_compile.compile_one(small(tmp_path, "stack_kernel", body), "sm_90")
    (line,) = cuda_compile.over_budget(got.kernels, wide)
    assert re.match(r"stack_kernel keeps \d+ bytes on a stack on sm_90$", line)


def test_a_kernel_that_spills_is_refused(tmp_path, monkeypatch):
    """The twin: the flags must catch a spill."""
    monkeypatch.setattr(cuda_compile, "KEPT", tmp_path / "kept")
    spilling = small(
        tmp_path,
        "spilling_kernel",
        "  float v[256];\n#pragma unroll\n  for (int i = 0; i < 256; ++i) v[i] = x[i * 1024 + threadIdx.x];\n"
        "  __syncthreads();\n#pragma unroll\n"
        "  for (int i = 0; i < 256; ++i) x[i * 1024 + threadIdx.x] = v[255 - i] * v[(i * 7) % 256];",
        "__launch_bounds__(1024)",
    )
    got = cuda_compile.compile_one(spilling, "sm_80")
    assert not got.ok
    assert "spill" in got.said.lower()


def test_a_block_of_every_plan_fits_a_multiprocessor(compiled):
    """Registers of a thread times threads of a block: beyond 65536 no block could ever start."""
    most = cuda_compile.most_registers(kernels(compiled))
    planned = set()
    for op, shape in plans.typical().items():
        for launch in plans.plan(op, **shape).launches:
            planned.add(launch.kernel)
            assert launch.kernel in most, f"{op} plans {launch.kernel}, which no source holds"
            for arch, registers in most[launch.kernel].items():
                assert -(-registers // 8) * 8 * launch.threads <= REGISTERS_OF_A_MULTIPROCESSOR, (launch, arch)
    assert planned


def test_the_ptx_holds_what_each_kernel_stands_on(ptx):
    for name, patterns in EXPECTED.items():
        assert name in ptx, f"there is no {name}; the kernels are {', '.join(sorted(ptx))}"
        for pattern in patterns:
            assert re.search(pattern, ptx[name]), f"{name} holds no {pattern}"


def test_whatever_reads_most_of_an_operators_bytes_is_held_to_it():
    """A kernel that takes another's place must not slip through the table above."""
    for op, shape in plans.typical().items():
        launches = plans.plan(op, **shape).launches
        if op == "attention_peak_":
            tiled = [launch.kernel for launch in launches if launch.shared_bytes > 16_000]
            assert tiled
            assert all(TENSOR_CORES in EXPECTED.get(name, ()) for name in tiled), tiled
        else:
            assert launches[0].kernel in EXPECTED


def test_no_kernel_adds_floats_atomically_or_uses_local_memory(ptx):
    assert ptx
    for name, text in ptx.items():
        assert not re.search(FLOAT_ATOMICS, text), f"{name}: no sum may depend on timing"
        assert not re.search(LOCAL_MEMORY, text), f"{name} uses local memory"


@pytest.mark.parametrize(
    ("pattern", "body", "found"),
    [
        (LOADS_16_BYTES, "  reinterpret_cast<float4*>(x)[0] = reinterpret_cast<float4*>(x)[threadIdx.x + 1];", True),
        (LOADS_16_BYTES, "  reinterpret_cast<ulonglong2*>(x)[0] = reinterpret_cast<ulonglong2*>(x)[9];", True),
        (LOADS_16_BYTES, "  float4 v = __ldcs(reinterpret_cast<float4*>(x) + 3); x[0] = v.x + v.y;", True),
        (LOADS_16_BYTES, "  reinterpret_cast<float2*>(x)[0] = reinterpret_cast<float2*>(x)[threadIdx.x + 1];", False),
        (LOADS_16_BYTES, "  x[0] = x[threadIdx.x + 1];", False),
        (FLOAT_ATOMICS, "  atomicAdd(x, 1.0f);", True),
        (FLOAT_ATOMICS, "  x[1] = atomicAdd(x, x[2]);", True),
        (FLOAT_ATOMICS, "  atomicAdd(reinterpret_cast<double*>(x), 1.0);", True),
        (
            FLOAT_ATOMICS,
            "  atomicAdd(reinterpret_cast<int*>(x), 1); atomicMax(reinterpret_cast<int*>(x) + 1, 7);",
            False,
        ),
        (LOCAL_MEMORY, STACK, True),
        (LOCAL_MEMORY, "  x[0] = x[1];", False),
    ],
)
def test_the_patterns_tell_what_they_look_for(tmp_path, monkeypatch, pattern, body, found):
    """The twins of the two tests above, on kernels of one line."""
    monkeypatch.setattr(cuda_compile, "KEPT", tmp_path / "kept")
    got = cuda_compile.compile_one(small(tmp_path, "small_kernel", body), cuda_compile.PTX)
    assert got.ok, got.said
    assert bool(re.search(pattern, cuda_compile.entries(got.ptx)["small_kernel"])) == found, got.ptx


def test_the_patterns_of_the_tensor_cores_match_the_wrappers(tmp_path, monkeypatch):
    """A kernel of one product through ``device.cuh`` has all three instructions, and one without has none."""
    monkeypatch.setattr(cuda_compile, "KEPT", tmp_path / "kept")
    head = f'#include "{ROOT / "csrc" / "kernels" / "device.cuh"}"\nnamespace ras {{\n'
    body = (
        "  unsigned char* s = shared_memory();\n  copy_16_async(s, x);\n  copies_commit();\n  copies_arrived<0>();\n"
        "  uint32_t a[4], b[2] = {1, 2};\n  float c[4] = {};\n  load_matrices(a, s);\n"
        "  multiply_accumulate<__nv_bfloat16>(c, a, b);\n  x[0] = c[0];\n"
    )
    source = tmp_path / "one.cu"
    full = f"__global__ void full_kernel(float* x) {{\n{body}}}\n"
    bare = "__global__ void bare_kernel(float* x) { x[0] = 1; }\n"
    source.write_text(f"{head}{full}{bare}}}\n")
    got = cuda_compile.compile_one(source, cuda_compile.PTX)
    assert got.ok, got.said
    found = cuda_compile.entries(got.ptx)
    for pattern in (TENSOR_CORES, MATRIX_LOADS, ASYNC_COPIES):
        assert re.search(pattern, found["full_kernel"]), found["full_kernel"]
        assert not re.search(pattern, found["bare_kernel"])


def test_a_changed_header_is_compiled_again_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_compile, "KEPT", tmp_path / "kept")
    (tmp_path / "value.cuh").write_text("constexpr float kValue = 1;\n")
    source = tmp_path / "one_kernel.cu"
    source.write_text('#include "value.cuh"\n__global__ void one_kernel(float* x) { x[0] = kValue; }\n')
    first = cuda_compile.compile_one(source, cuda_compile.PTX)
    assert cuda_compile.compile_one(source, cuda_compile.PTX) == first
    assert len(list((tmp_path / "kept").iterdir())) == 1
    (tmp_path / "value.cuh").write_text("constexpr float kValue = 3;\n")
    second = cuda_compile.compile_one(source, cuda_compile.PTX)
    assert second.ptx != first.ptx
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert dataclasses.replace(second, ptx=first.ptx, seconds=first.seconds) == first


def test_the_setup_script_builds_for_these_architectures():
    text = (ROOT / "setup.py").read_text()
    listed = text.split('CUDA_ARCHS = "')[1].split('"')[0]
    assert listed == ";".join(f"{arch[:-1]}.{arch[-1]}" for arch in ARCHS) + "+PTX"
