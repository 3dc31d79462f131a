"""A missing or broken compiled library: said once with the reason, served by the reference, or refused on request."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ras_ext
from ras_ext import compiled

USE = """
import sys
sys.path.insert(0, sys.argv[1])
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    from ras_ext import compiled, ops
    assert compiled.__file__.startswith(sys.argv[1]), compiled.__file__
    ints = lambda *v: torch.tensor(v, dtype=torch.int32)
    for _ in range(2):
        x = torch.arange(6.0).view(2, 3)
        ops.steer_(x, ints(1), torch.ones(1, 1, 3), ints(0), ints(0), torch.tensor([1.0]))
        compiled.load()
    traced = torch.compile(lambda x: ops.steer_(x, ints(0), torch.ones(1, 1, 3), ints(0), ints(0), torch.tensor([1.0])),
                           fullgraph=True, backend="eager")
    traced(x)
print("rows", x.tolist())
print("status", compiled.status())
print("registered", hasattr(torch.ops.ras_ext, "steer_"))
for w in caught:
    if "ras_ext" in str(w.message):
        print("warning", w.category.__name__, w.message)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's Python files without any compiled library."""
    source = Path(ras_ext.__file__).parent
    shutil.copytree(source, tmp_path / "ras_ext", ignore=shutil.ignore_patterns("*.so", "organism", "__pycache__"))
    registry = Path(sys.modules["ras_ext.registry.errors"].__file__ or "").parent
    if not (tmp_path / "ras_ext" / "registry").exists():
        shutil.copytree(registry, tmp_path / "ras_ext" / "registry", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "ras_ext"


def _library() -> Path:
    return next(Path(compiled.__file__).parent.glob("_C.*.so"))


def _run(package: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k != "RAS_EXT_REQUIRE_COMPILED"}
    return subprocess.run(
        [sys.executable, "-c", USE, str(package.parent)],
        capture_output=True,
        text=True,
        env=clean | environment,
        cwd=package.parent,
        timeout=120,
    )


def _truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _damaged(data: bytes) -> bytes:
    return data[:64] + bytes(len(data) - 64)


def _foreign(data: bytes) -> bytes:
    return b"not a library at all, but long enough to be one" * 100


BROKEN = [
    (_truncated, "is cut short"),
    (lambda data: b"", "is cut short"),
    (_foreign, "cannot be loaded ("),
    (_damaged, "cannot be loaded ("),
]


def test_an_intact_copy_is_loaded_without_a_word(package):
    shutil.copy(_library(), package)
    done = _run(package)
    assert "cpu_ops=True" in done.stdout, done.stderr
    assert "registered True" in done.stdout
    assert "warning" not in done.stdout


def test_a_missing_library_is_said_once_and_the_reference_serves(package):
    done = _run(package)
    assert done.returncode == 0, done.stderr
    assert "rows [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]" in done.stdout
    assert "cpu_ops=False, cuda_ops=False, cuda_archs=[]" in done.stdout
    warned = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert len(warned) == 1
    assert warned[0].startswith("warning RuntimeWarning ras_ext: the compiled library _C is not in ")
    assert "the slower plain-torch reference is used" in warned[0]


@pytest.mark.parametrize(("breakage", "reason"), BROKEN)
def test_a_broken_library_is_said_once_and_the_reference_serves(package, breakage, reason):
    (package / _library().name).write_bytes(breakage(_library().read_bytes()))
    done = _run(package)
    assert done.returncode == 0, done.stderr
    assert "rows [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]" in done.stdout
    assert "cpu_ops=False" in done.stdout
    warned = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert len(warned) == 1
    assert reason in warned[0]


@pytest.mark.parametrize("broken", [True, False])
def test_a_required_library_that_is_not_there_is_an_error(package, broken):
    if broken:
        (package / _library().name).write_bytes(_truncated(_library().read_bytes()))
    done = _run(package, RAS_EXT_REQUIRE_COMPILED="1")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ras_ext.errors.CompiledLibraryError: RAS_EXT_REQUIRE_COMPILED is set, but the compiled")


def test_a_required_library_that_is_there_is_no_error(package):
    shutil.copy(_library(), package)
    done = _run(package, RAS_EXT_REQUIRE_COMPILED="1")
    assert done.returncode == 0, done.stderr


def test_a_library_of_other_sources_is_told_by_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "OPERATORS", (*compiled.OPERATORS, "of_tomorrow_"))
    monkeypatch.setattr(compiled, "_said", set())
    with pytest.warns(RuntimeWarning, match=r"lacks of_tomorrow_; build it again"):
        found, served = compiled._load(Path(compiled.__file__).parent)
    assert not found.cpu_ops
    assert not served


def test_what_is_not_compiled_for_a_device_is_said_once(monkeypatch):
    monkeypatch.setattr(compiled, "_said", set())
    with pytest.warns(RuntimeWarning, match=r"no compiled ras_ext::steer_ for xpu is loaded.*reference is used"):
        assert not compiled.serves("steer_", "xpu")
    assert not compiled.serves("steer_", "xpu")
    with pytest.warns(RuntimeWarning, match=r"no compiled ras_ext::risk_score for xpu"):
        assert not compiled.serves("risk_score", "xpu")
    monkeypatch.setenv("RAS_EXT_REQUIRE_COMPILED", "1")
    with pytest.raises(compiled.CompiledLibraryError, match="RAS_EXT_REQUIRE_COMPILED is set, but no compiled"):
        compiled.serves("steer_", "xpu")


def test_the_status_says_what_is_there_and_why_not():
    found = compiled.status()
    assert found.cpu_ops
    assert found.cuda_ops == bool(found.cuda_archs) == (not found.why)
    if torch.version.cuda is None:
        assert found.why == f"no CUDA operators: torch {torch.__version__} is a build without CUDA"
    assert all(compiled.serves(name, "cpu") for name in compiled.OPERATORS)


def test_the_library_records_no_path_of_the_machine_it_was_built_on():
    data = _library().read_bytes()
    assert b"TORCH_LIBRARY" in data or b"steer_" in data
    for path in (str(Path(torch.__file__).parent / "lib"), str(Path.home())):
        assert path.encode() not in data
