"""The shape of the sources: short files, kernels that know no torch, plans that know no CUDA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
LONGEST = 250
FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".h", ".cuh", ".cpp", ".cu"))


def too_long(path: Path) -> bool:
    return len(path.read_text().splitlines()) > LONGEST


def test_no_source_is_longer_than_one_idea():
    assert len(FILES) > 20
    assert [str(path.relative_to(ROOT)) for path in FILES if too_long(path)] == []


def test_a_source_that_is_too_long_is_found(tmp_path):
    path = tmp_path / "long.cpp"
    path.write_text("//\n" * LONGEST)
    assert not too_long(path)
    path.write_text("//\n" * (LONGEST + 1))
    assert too_long(path)


def included(path: Path, seen: set[Path] | None = None) -> set[str]:
    """Every header a file includes, directly or through ours, as it is written."""
    seen = set() if seen is None else seen
    names = set()
    for name in re.findall(r'^\s*#include [<"]([^>"]+)[>"]', path.read_text(), re.M):
        names.add(name)
        ours = (path.parent / name).resolve()
        if ours.is_file() and ours not in seen:
            seen.add(ours)
            names |= included(ours, seen)
    return names


@pytest.mark.parametrize("path", sorted((CSRC / "kernels").iterdir()), ids=lambda path: path.name)
def test_kernels_know_no_torch(path):
    assert not [name for name in included(path) if "torch" in name or "check.h" in name]


@pytest.mark.parametrize(
    "path", [*sorted((CSRC / "kernels").glob("*plan.h")), CSRC / "plans" / "plans.cpp"], ids=lambda path: path.name
)
def test_plans_are_plain_cpp(path):
    assert not [name for name in included(path) if re.search(r"torch|cuda|\.cuh", name)]


def test_an_include_behind_another_is_found():
    """The twin: what the two tests above look for is there in the sources that are allowed it."""
    assert any("torch" in name for name in included(CSRC / "cuda" / "steer.cu"))
    assert "cuda_runtime.h" in included(CSRC / "kernels" / "steer.cuh")


def test_inline_ptx_stays_in_one_header():
    ours = [path for path in FILES if path.parent.name in ("kernels", "cuda")]
    holders = {path.name for path in ours if re.search(r"\basm\b", path.read_text())}
    assert holders <= {"device.cuh"}, holders


def test_every_kernel_takes_its_shared_memory_from_the_launch():
    for path in (CSRC / "kernels").glob("*.cuh"):
        if path.name != "device.cuh":
            assert "__shared__" not in path.read_text(), path.name
