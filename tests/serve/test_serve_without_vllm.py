"""Where vLLM is not installed, serving says what to install."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

from ras_ext.cli.app import app
from ras_ext.errors import MissingExtraError

pytestmark = pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")


def test_the_command_names_the_extra() -> None:
    found = CliRunner().invoke(app, ["serve", "builtin:organism", "--json"])
    assert found.exit_code == 1
    assert "ras-ext[serve]" in found.output


def test_the_offline_engine_names_the_extra() -> None:
    from ras_ext.serve import GuardedLLM

    with pytest.raises(MissingExtraError, match=r"ras-ext\[serve\]"):
        GuardedLLM("builtin:organism", "builtin:organism")
