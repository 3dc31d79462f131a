"""Builds the compiled libraries against the torch at hand.

``ras_ext/_C`` (schemas and CPU operators) always; ``ras_ext/_C_cuda`` when a CUDA toolkit is found and torch is a CUDA
build. Both use only the LibTorch stable ABI and Python's limited API: one binary serves every torch from 2.10 on.
``ras_ext/_plans`` (launch plans, pybind11, no torch) is built for this Python alone, and so is a wheel. Environment:

    RAS_EXT_CUDA=auto|0|1       auto (default) builds the CUDA library where it can be built; 1 makes that an error
    CUDA_HOME                   the toolkit; otherwise the one nvcc on PATH belongs to
    TORCH_CUDA_ARCH_LIST        default "8.0;8.6;8.9;9.0;10.0;12.0+PTX"
    MAX_JOBS                    parallel compilations
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import SetupError

ROOT = Path(__file__).resolve().parent
MINIMUM_TORCH = (2, 10)
STABLE_ABI = [f"-DTORCH_TARGET_VERSION=0x{MINIMUM_TORCH[0]:02x}{MINIMUM_TORCH[1]:02x}000000000000ULL"]
NOT_COMPILING = {"egg_info", "dist_info", "sdist", "clean", "--help", "--version", "--name"}
CUDA_ARCHS = "8.0;8.6;8.9;9.0;10.0;12.0+PTX"
# No contraction: an operator gives the same bits with and without fused multiply-add in the machine.
CXX_FLAGS = [
    "-O3",
    f"-ffile-prefix-map={ROOT}=ras_ext",
    "-std=c++20",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-Wno-psabi",  # vectors are passed between inlined functions only
    "-g0",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    *STABLE_ABI,
]
# Nothing here is hot: -O1 compiles in three quarters of the time of -O3.
PLANS_FLAGS = [
    "-O1",
    f"-ffile-prefix-map={ROOT}=ras_ext",
    "-std=c++20",
    "-fvisibility=hidden",
    "-g0",
    "-Wall",
    "-Wextra",
]
NVCC_FLAGS = ["-O3", "-Xcompiler=-g0", "-std=c++20", "-DUSE_CUDA", "-Xcompiler=-fvisibility=hidden", *STABLE_ABI]


def say(line: str) -> None:
    print(f"ras_ext: {line}", file=sys.stderr, flush=True)


def torch_folder() -> Path | None:
    """The folder torch lies in; an isolated build hides the environment's own packages, which are looked at too."""
    found = importlib.util.find_spec("torch")
    if found and found.origin:
        return Path(found.origin).parent.parent
    paths = [sysconfig.get_path("platlib"), sysconfig.get_path("purelib")]
    if environment := os.environ.get("VIRTUAL_ENV"):
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        paths.append(str(Path(environment, "lib", version, "site-packages")))
    return next((Path(path) for path in paths if Path(path, "torch", "version.py").is_file()), None)


def torch_version(folder: Path) -> tuple[int, int]:
    version = re.search(r"__version__ = '(\d+)\.(\d+)", Path(folder, "torch", "version.py").read_text())
    return (int(version[1]), int(version[2])) if version else (0, 0)


def find_toolkit() -> tuple[Path | None, str]:
    """The CUDA toolkit and how it was found, or ``None`` and why not. A visible GPU plays no part."""
    if home := os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        if Path(home, "bin", "nvcc").is_file():
            return Path(home), f"CUDA_HOME={home}"
        return None, f"CUDA_HOME is {home} and has no bin/nvcc"
    if nvcc := shutil.which("nvcc"):
        # A toolkit's own nvcc knows its folder; a link or wrapper elsewhere on PATH need not lie in one.
        for candidate in (Path(nvcc).resolve().parent.parent, Path("/usr/local/cuda")):
            if Path(candidate, "bin", "nvcc").is_file() and Path(candidate, "include", "cuda_runtime.h").is_file():
                return candidate, f"nvcc on PATH ({candidate})"
        return None, f"nvcc is {nvcc} but its toolkit was not found; set CUDA_HOME"
    return None, "CUDA_HOME is not set and nvcc is not on PATH"


def toolkit_major(toolkit: Path) -> str:
    text = subprocess.run([str(toolkit / "bin" / "nvcc"), "--version"], capture_output=True, text=True).stdout
    release = re.search(r"release (\d+)\.", text)
    return release[1] if release else "of unknown version"


def cuda_decision(torch: Any) -> tuple[Path | None, str]:
    """The toolkit to build ``_C_cuda`` with, or ``None``, and the reason in words."""
    wish = os.environ.get("RAS_EXT_CUDA", "auto").strip().lower()
    if wish not in ("auto", "0", "1"):
        raise SetupError(f"RAS_EXT_CUDA must be auto, 0 or 1, got {wish!r}")
    if wish == "0":
        return None, "RAS_EXT_CUDA=0"
    toolkit, reason = find_toolkit()
    if toolkit is not None and torch.version.cuda is None:
        toolkit, reason = None, f"torch {torch.__version__} is not a CUDA build"
    elif toolkit is not None and (release := toolkit_major(toolkit)) != torch.version.cuda.split(".")[0]:
        toolkit, reason = None, f"{toolkit} is CUDA {release} and torch is built for CUDA {torch.version.cuda}"
    if toolkit is None and wish == "1":
        raise SetupError(f"RAS_EXT_CUDA=1 asks for the CUDA library, but {reason}")
    return toolkit, reason


def sources(*patterns: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern))


def headers() -> list[str]:
    return sources("csrc/**/*.h", "csrc/**/*.cuh")


def extension(name: str, files: list[str], include: list[str], lib: list[str], libraries: list[str]) -> Extension:
    # No rpath: torch is imported before the library is loaded, and its libraries are found by name.
    return Extension(
        f"ras_ext.{name}",
        files,
        include_dirs=include,
        library_dirs=lib,
        libraries=libraries,
        extra_compile_args={"cxx": CXX_FLAGS, "nvcc": NVCC_FLAGS},
        extra_link_args=["-Wl,--exclude-libs,ALL"] if sys.platform == "linux" else [],
        language="c++",
        depends=headers(),
        py_limited_api=True,
    )


def pybind11_include(torch: Path) -> str:
    """The folder of pybind11's headers: its own package's, else of the copy that torch brings."""
    try:
        import pybind11

        return str(pybind11.get_include())
    except ImportError:
        return str(Path(torch, "torch", "include"))


def plans(torch: Path) -> Extension:
    return Extension(
        "ras_ext._plans",
        sources("csrc/plans/*.cpp"),
        include_dirs=[pybind11_include(torch)],
        extra_compile_args={"cxx": PLANS_FLAGS, "nvcc": []},
        language="c++",
        depends=headers(),
    )


def with_torch(folder: Path) -> dict[str, Any]:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    import torch

    # cpp_extension decides by CUDA_HOME when it is imported.
    toolkit, reason = cuda_decision(torch)
    if toolkit is not None:
        os.environ["CUDA_HOME"] = str(toolkit)
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", CUDA_ARCHS)
    from torch.utils import cpp_extension

    extensions = [
        extension(
            "_C",
            sources("csrc/ops.cpp", "csrc/cpu/*.cpp"),
            cpp_extension.include_paths(),
            cpp_extension.library_paths(),
            ["torch_cpu"],
        )
    ]
    if toolkit is None:
        say(f"building the CPU library only: {reason}")
    else:
        say(f"building the CPU and CUDA libraries for {os.environ['TORCH_CUDA_ARCH_LIST']}: {reason}")
        extensions.append(
            extension(
                "_C_cuda",
                sources("csrc/cuda/*.cpp", "csrc/cuda/*.cu"),
                cpp_extension.include_paths("cuda"),
                cpp_extension.library_paths("cuda"),
                # Its own CUDA runtime, hidden: the library then loads beside a torch of another CUDA release.
                ["torch_cpu", "torch_cuda", "cudart_static", "rt", "dl"],
            )
        )
    extensions.append(plans(folder))
    return {"ext_modules": extensions, "cmdclass": {"build_ext": cpp_extension.BuildExtension}}


class WithoutTorch(build_ext):
    """Stands in where nothing is compiled, or torch is only being asked for; building with it is an error."""

    def run(self) -> None:
        raise SetupError(
            "torch >= 2.10 is needed to build ras_ext and was not found; "
            "install it first, or build with pip's build isolation"
        )


def build() -> dict[str, Any]:
    folder = torch_folder()
    wanted = [f"torch>={MINIMUM_TORCH[0]}.{MINIMUM_TORCH[1]}"]
    if folder is not None and torch_version(folder) >= MINIMUM_TORCH:
        if not NOT_COMPILING & set(sys.argv[1:]):
            return with_torch(folder)
        wanted = []
    placeholder = Extension("ras_ext._C", ["csrc/ops.cpp"])
    return {"setup_requires": wanted, "ext_modules": [placeholder], "cmdclass": {"build_ext": WithoutTorch}}


setup(
    packages=[
        *find_packages(include=["ras_ext", "ras_ext.*"]),
        "ras_ext.registry",
        *(f"ras_ext.registry.{name}" for name in find_packages("registry")),
    ],
    package_dir={"ras_ext": "ras_ext", "ras_ext.registry": "registry"},
    **build(),
)
