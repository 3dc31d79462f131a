"""Several workers answer as one does: the head split over two, and the layers split over two of which one has no head.

Several engines at once (`data_parallel_size`) are no matter of one offline engine: vLLM refuses them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from served import ENGINE, conversation

from ras_ext.items import Item

SPLITS: dict[str, dict[str, Any]] = {
    "tensors": {"tensor_parallel_size": 2},
    # Compiled, be it by the backend that does nothing: vLLM's CPU worker makes a later stage's buffers only then.
    "pipeline": {
        "pipeline_parallel_size": 2,
        "enforce_eager": False,
        "compilation_config": {"mode": 1, "backend": "eager"},
    },
}


def answers(engine: Any, items: list[Item]) -> list[Any]:
    from vllm import SamplingParams

    sampling = SamplingParams(temperature=0.0, max_tokens=40)
    return list(engine.chat([conversation(item) for item in items[::4]], sampling))


@pytest.fixture(scope="module")
def by_one(guarded: Any, items: list[Item]) -> list[Any]:
    found = answers(guarded, items)
    guarded.close()
    return found


@pytest.fixture(scope="module", params=SPLITS)
def split(request: Any, by_one: list[Any]) -> Iterator[Any]:
    from ras_ext.serve import GuardedLLM

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")  # a core each: this machine has one NUMA node
        engine = GuardedLLM("builtin:organism", "builtin:organism", **{**ENGINE, **SPLITS[request.param]})
    yield engine
    engine.close()


def test_the_answers_are_those_of_one_worker(split: Any, by_one: list[Any], items: list[Item]) -> None:
    found = answers(split, items)
    assert len(found) >= 60
    assert [one.text for one in found] == [one.text for one in by_one]
    assert [one.receipt.risk for one in found] == pytest.approx([one.receipt.risk for one in by_one], abs=1e-4)
    workers = split.status()
    assert len(workers) == 2
    assert workers[0]["packs"] == workers[1]["packs"]
    heads = [worker["counts"] for worker in workers if worker["samples"]]
    assert all(counts["judged"] > len(found) and counts["lost"] == 0 for counts in heads)
    assert all(not any(worker["counts"].values()) for worker in workers if not worker["samples"])


def test_several_engines_at_once_are_refused_by_vllm_offline() -> None:
    from ras_ext.serve import GuardedLLM

    with pytest.raises(ValueError, match="data_parallel_size=2"):
        GuardedLLM("builtin:organism", "builtin:organism", **{**ENGINE, "data_parallel_size": 2})
