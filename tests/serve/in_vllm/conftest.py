"""A real vLLM on the CPU with the organism in it. `make test-vllm` brings the environment; else all is skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from served import ENGINE

from ras_ext.items import Item, load_items
from ras_ext.organism import queries

if find_spec("vllm") is None:
    if os.environ.get("RAS_EXT_REQUIRE_VLLM"):
        raise RuntimeError("vLLM is not installed, and RAS_EXT_REQUIRE_VLLM asks for it")
    collect_ignore_glob = ["*.py"]


@pytest.fixture(scope="session", autouse=True)
def small_engines() -> Iterator[None]:
    """vLLM's defaults for a CPU take most of a machine's memory for the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_LOGGING_LEVEL", "WARNING")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """The organism's evaluation set: 360 requests, of several turns too."""
    return load_items(queries.write_set("evaluation", tmp_path_factory.mktemp("evaluation")))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Any]:
    """The organism in a defended offline engine of its own process."""
    from ras_ext.serve import GuardedLLM

    engine = GuardedLLM("builtin:organism", "builtin:organism", **ENGINE)
    yield engine
    engine.close()
