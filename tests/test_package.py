"""The package's face: lazy, complete, and named as documented."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ras_ext


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_package_imports_neither_torch_nor_transformers() -> None:
    done = run("import sys, ras_ext, ras_ext.registry; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ras_ext.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(ras_ext, name) is not None
    assert name in dir(ras_ext)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'guards'"):
        _ = ras_ext.guards


def test_the_functions_are_not_replaced_by_modules_of_the_same_concern() -> None:
    """Importing from inside first must not turn ``ras_ext.calibrate`` into a module."""
    done = run(
        "from ras_ext.calibration import calibrate as a; from ras_ext.evaluation import evaluate as b; import ras_ext;"
        "assert ras_ext.calibrate is a and ras_ext.evaluate is b and callable(a) and callable(b)"
    )
    assert done.returncode == 0, done.stderr
