"""Which vLLM is served in."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from ras_ext.errors import MissingExtraError, ModelError
from ras_ext.serve import versions


@pytest.mark.parametrize("version", ["0.32.0", "0.32.1", "0.32.0+cpu", "0.32.1rc1"])
def test_the_supported_line_is_taken(version: str) -> None:
    versions.check(version)


@pytest.mark.parametrize("version", ["0.31.9", "0.33.0", "1.0.0", "dev", "", "0"])
def test_another_version_is_refused_with_the_range(version: str) -> None:
    with pytest.raises(ModelError, match=r"is not supported; the defence runs in vLLM from 0\.32 to below 0\.33"):
        versions.check(version)


def test_without_vllm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **settings: Any) -> Any:
        if name.partition(".")[0] == "vllm":
            raise ImportError(name)
        return real(name, *args, **settings)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"ras-ext\[serve\]"):
        versions.check_vllm()
