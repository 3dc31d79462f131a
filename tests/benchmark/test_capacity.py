"""benchmarks/capacity.py: the arithmetic of a plan, by hand, and what it says of its own inputs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ras_ext.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "capacity.py"
PAGE = ROOT / "docs" / "capacity.md"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("capacity", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["capacity"] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


capacity = load()


def test_a_risk_of_a_7b_takes_two_scored_steps_and_two_that_tell() -> None:
    assert capacity.stages(capacity.Plan())["judge"].written == 3 - 1 + 2


def test_only_whole_blocks_before_the_words_are_shared() -> None:
    plan = capacity.Plan(before_image=5, image_tokens=576, block=16, question_tokens=40)
    shared, alone = capacity.stages(plan), capacity.stages(plan, shared=False)
    assert alone["answer"].fresh == alone["answer"].prompt == 5 + 576 + 40
    assert shared["answer"].fresh == 5 + 40  # 581 tokens are 36 whole blocks and 5 tokens
    assert shared["look"] == alone["look"]
    assert capacity.stages(capacity.Plan(block=1024))["answer"].fresh == alone["answer"].fresh


def test_a_cached_token_of_a_7b_takes_half_a_mebibyte() -> None:
    assert capacity.memory(capacity.Plan())["cached_token"] == 512 * 1024


def test_packs_and_judged_requests_take_rows_of_f32() -> None:
    size = capacity.memory(capacity.Plan(packs=2, steered_tokens=5))
    assert size["pack_logits"] == 2 * 5 * 32064 * 4
    assert size["judged_request"] == 3 * 32064 * 4


def test_gpus_follow_from_the_seconds_that_a_request_takes() -> None:
    seconds = {"look": 0.02, "judge": 0.01, "answer": 0.04, "undefended": 0.05}
    found = capacity.capacity(capacity.Plan(rate=1000, busy=0.5, step_seconds=0.001), seconds)
    assert found["gpus"] == 140
    assert found["gpus_undefended_by_time"] == 100
    assert found["gpu_seconds"] == {name: seconds[name] for name in capacity.STAGES}


def test_memory_decides_where_answers_are_slow() -> None:
    fast, slow = (capacity.capacity(capacity.Plan(step_seconds=step)) for step in (0.001, 0.5))
    assert fast["gpus"] == -int(-fast["gpus_by_time"] // 1)
    assert slow["gpus"] > fast["gpus"]
    assert slow["gpus_by_memory"] == pytest.approx(500 * fast["gpus_by_memory"])


def test_what_is_assumed_is_said_until_it_is_given() -> None:
    assert "prefill_rate" in capacity.capacity(capacity.Plan())["assumed"]
    given = capacity.capacity(capacity.Plan(prefill_rate=31_000.0))
    assert "prefill_rate" not in given["assumed"]
    assert "decode_rate" in given["assumed"]
    assert "ASSUMED, not measured: decode_rate" in capacity.table(given)


def test_a_model_that_leaves_no_room_for_a_cache_is_refused() -> None:
    with pytest.raises(InputError, match="split the model"):
        capacity.capacity(capacity.Plan(gpu_gib=16))


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"image_tokens": 0}, {"busy": 1.5}, {"decode_rate": float("nan")}])
def test_an_input_that_nothing_can_be_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        capacity.Plan(**wrong)


def test_the_command_prints_json_with_every_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main(["--rate", "10", "--measured", "look=0.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["inputs"]["rate"] == 10
    assert found["gpu_seconds"]["look"] == 0.5
    assert found["measured"] == {"look": 0.5}


@pytest.mark.parametrize("given", ["look", "look=soon", "lunch=1", "look=-1"])
def test_a_measurement_of_no_stage_is_one_sentence(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main(["--measured", given]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_page_is_what_the_script_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    plan = text.partition("<!-- plan")[2].partition("-->")[2].partition("<!-- end of plan")[0]
    lines = [line for line in plan.splitlines() if line and not line.startswith("```")]
    assert lines == [line for line in capacity.table(capacity.capacity(capacity.Plan())).splitlines() if line]


def test_what_the_page_says_of_gpus_follows() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    for tokens in (200, 50):
        found = capacity.capacity(capacity.Plan(answer_tokens=tokens))
        more = sum(found["gpu_seconds"].values()) / found["gpu_seconds_undefended"] - 1
        assert f"{more:.0%}".replace("%", " %") in text.partition(f"at {tokens} tokens")[2][:40]
    apart = sum(capacity.gpu_seconds(capacity.Plan(), {}, shared=False).values())
    alone = capacity.undefended_seconds(capacity.Plan(), {})
    assert f"nothing shared, at 200, it is {apart / alone - 1:.0%}".replace("%", " %") in text
    plan = capacity.stages(capacity.Plan())
    assert f"up to {plan['look'].written + plan['judge'].written} tokens more" in text
