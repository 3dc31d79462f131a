"""``ras-ext doctor`` shows the launch plans, and says in one sentence why there are none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from cli_runs import only_json, run

import ras_ext
import ras_ext.registry.errors
from ras_ext import plans


def test_every_operator_is_shown_with_its_launches(tmp_path: Path) -> None:
    found = only_json(run("doctor", "--json", cwd=tmp_path))
    assert found["plans"] is True
    assert set(found["launches"]) == set(plans.operators())
    for op, entry in found["launches"].items():
        planned = plans.plan(op, **entry["shape"])
        assert [launch["kernel"] for launch in entry["launches"]] == [launch.kernel for launch in planned.launches]
        assert (entry["bytes"], entry["flops"]) == (planned.bytes, planned.flops)
    shown = run("doctor", cwd=tmp_path).stdout
    assert "launch plans" in shown
    assert all(op in shown for op in found["launches"])


def test_plans_are_shown_where_torch_is_missing(tmp_path: Path) -> None:
    found = only_json(run("doctor", "--json", cwd=tmp_path, before="import sys; sys.modules['torch'] = None"))
    assert (found["torch"], found["plans"]) == (None, True)


@pytest.mark.parametrize("broken", [False, True])
def test_a_missing_or_broken_module_leaves_the_rest_of_the_report_alone(tmp_path: Path, broken: bool) -> None:
    ignore = shutil.ignore_patterns("model", "pack", "__pycache__")
    shutil.copytree(Path(ras_ext.__file__).parent, tmp_path / "ras_ext", ignore=ignore)
    if not (tmp_path / "ras_ext" / "registry").exists():
        shutil.copytree(Path(ras_ext.registry.errors.__file__ or "").parent, tmp_path / "ras_ext" / "registry")
    (module,) = (tmp_path / "ras_ext").glob("_plans.*")
    if broken:
        module.write_bytes(module.read_bytes()[:5000])
    else:
        module.unlink()
    before = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    found = only_json(run("doctor", "--json", cwd=tmp_path, before=before))
    assert (found["plans"], found["launches"], found["cpu_ops"]) == (False, {}, True)
    assert "there are no launch plans: " in found["why"]
    assert ("is cut short" if broken else "_plans for this Python is not in") in found["why"]
    shown = run("doctor", cwd=tmp_path, before=before)
    assert shown.returncode == 0
    assert sys.version.split()[0] in shown.stdout
