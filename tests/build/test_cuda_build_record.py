"""The record of the build against CUDA torch says which sources it is about, and is told apart from later ones."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ras_ext
import ras_ext.registry.errors

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "cuda_build_record.py"

RECORD = ROOT / "docs" / "cuda-build.json"


@pytest.fixture(scope="module")
def record() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("cuda_build_record", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of sources."""
    (tmp_path / "csrc" / "cuda").mkdir(parents=True)
    (tmp_path / "csrc" / "ops.cpp").write_text("// one\n")
    (tmp_path / "csrc" / "cuda" / "steer.cu").write_text("// two\n")
    (tmp_path / "setup.py").write_text("# three\n")
    return tmp_path


def write(record: ModuleType, tree: Path) -> Path:
    path = tree / "cuda-build.json"
    about = {"date": "2026-01-02", "torch": "2.13.0+cu130", "nvcc": "13.0.88", "archs": "8.0 9.0", "operators": ["a"]}
    path.write_text(json.dumps(about | {"sources_sha256": record.hash_of_sources(tree)}))
    return path


def test_a_record_of_these_sources_is_up_to_date_and_one_of_others_is_not(record, tree):
    path = write(record, tree)
    assert record.status(tree, path).startswith("up to date: built, linked and imported on 2026-01-02 against torch ")
    (tree / "csrc" / "cuda" / "steer.cu").write_text("// two!\n")
    assert record.status(tree, path).startswith("csrc or setup.py has changed since the recorded build (")
    (tree / "csrc" / "cuda" / "steer.cu").write_text("// two\n")
    assert record.status(tree, path).startswith("up to date")


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "csrc" / "new.h").write_text(""),
        lambda tree: (tree / "csrc" / "ops.cpp").unlink(),
        lambda tree: (tree / "csrc" / "ops.cpp").rename(tree / "csrc" / "operators.cpp"),
        lambda tree: (tree / "setup.py").write_text("# four\n"),
    ],
)
def test_every_change_of_the_sources_changes_the_hash(record, tree, change):
    before = record.hash_of_sources(tree)
    change(tree)
    assert record.hash_of_sources(tree) != before


def test_what_lies_elsewhere_does_not_count(record, tree):
    before = record.hash_of_sources(tree)
    (tree / "README.md").write_text("words\n")
    assert record.hash_of_sources(tree) == before


def test_no_record_is_said(record, tmp_path):
    assert record.status(tmp_path, tmp_path / "cuda-build.json") == (
        "there is no record of a CUDA build; `make cuda-build` writes cuda-build.json"
    )


def test_the_status_of_this_tree_is_one_line_whatever_it_is():
    """Stale is no failure: a change of csrc must not cost everyone 5 GB of torch. It is a line to read."""
    done = subprocess.run([sys.executable, str(SCRIPT), "status"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cuda-build: ")
    assert done.stdout.count("\n") == 1


def test_libraries_without_cuda_are_not_recorded(record, tmp_path):
    """The twin: a build that lacks the CUDA operators ends with a sentence, not with a record."""
    package = Path(ras_ext.__file__).resolve().parent
    ignore = shutil.ignore_patterns("organism", "__pycache__", "_C_cuda*")
    shutil.copytree(package, tmp_path / "ras_ext", ignore=ignore)
    if not (tmp_path / "ras_ext" / "registry").exists():
        registry = Path(sys.modules["ras_ext.registry.errors"].__file__ or "").parent
        shutil.copytree(registry, tmp_path / "ras_ext" / "registry", ignore=ignore)
    kept = RECORD.read_bytes() if RECORD.is_file() else None
    now = record.hash_of_sources(ROOT)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "write", str(tmp_path), "1", now], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cuda-build: the libraries do not load: no CUDA operators: "), done.stderr
    assert (RECORD.read_bytes() if RECORD.is_file() else None) == kept


def test_sources_that_changed_during_the_build_are_not_recorded(tmp_path):
    kept = RECORD.read_bytes() if RECORD.is_file() else None
    words = [sys.executable, str(SCRIPT), "write", str(tmp_path), "1", "0" * 64]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("cuda-build: csrc or setup.py changed while it was being built; nothing is recorded")
    assert (RECORD.read_bytes() if RECORD.is_file() else None) == kept


def test_the_hash_can_be_asked_for(record):
    done = subprocess.run([sys.executable, str(SCRIPT), "hash"], capture_output=True, text=True)
    assert done.stdout.strip() == record.hash_of_sources(ROOT)
