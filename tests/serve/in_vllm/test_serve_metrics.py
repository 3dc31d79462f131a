"""The defence's metrics on vLLM's own /metrics: there, right, and still there when vLLM has cleared its own."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ras_ext.serve.server.metrics import Metrics, _collectors

PAGE = (Path(__file__).parents[3] / "docs" / "serving-policy.md").read_text(encoding="utf-8")
ONE_PROCESS = """
import sys
from ras_ext.serve.server.metrics import Metrics
metrics = Metrics()
metrics.packs(2)
metrics.observe(tenant="one", pack="mine", action="steered", risk=0.3, seconds={"judge": 0.1})
if sys.argv[1] != "silent":
    metrics.defended(sys.argv[1] == "defended")
"""


def samples(text: str) -> dict[str, float]:
    """Series by name and labels, the labels in their order by name."""
    found = {}
    for name, labels, value in re.findall(r"^(ras_\w+?)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        inner = ",".join(sorted(re.findall(r'\w+="[^"]*"', labels)))
        found[f"{name}{{{inner}}}" if inner else name] = float(value)
    return found


@pytest.fixture(scope="module")
def scrape() -> Any:
    """GET /metrics of an app as vLLM makes it."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from vllm.entrypoints.serve.instrumentator.metrics import attach_router

    app = FastAPI()
    attach_router(app)
    client = TestClient(app)

    def scraped() -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        return samples(answer.text)

    return scraped


def test_requests_are_counted_where_vllm_is_scraped(scrape: Any) -> None:
    metrics, before = Metrics(), scrape()
    metrics.observe(
        tenant="one",
        pack="counted",
        action="steered",
        risk=0.93,
        refused=True,
        steered_tokens=3,
        seconds={"look": 0.2, "judge": 0.03, "answer": 4.0},
    )
    metrics.observe(tenant="one", pack="counted", action="steered", risk=0.04, steered_tokens=3)
    metrics.observe(tenant="one", pack="counted", action="blocked", risk=math.nan, refused=True)
    metrics.observe(tenant="red", pack=None, action="passed")
    found = scrape()
    assert found['ras_requests_total{action="steered",pack="counted",tenant="one"}'] == 2
    assert found['ras_requests_total{action="blocked",pack="counted",tenant="one"}'] == 1
    assert found['ras_requests_total{action="passed",pack="none",tenant="red"}'] == 1
    assert found['ras_refusals_total{pack="counted"}'] == 2
    assert found['ras_steered_tokens_total{pack="counted"}'] == 6
    assert found['ras_risk_count{pack="counted"}'] == 3
    below = {edge: found[f'ras_risk_bucket{{le="{edge}",pack="counted"}}'] for edge in ("0.01", "0.05", "0.9", "0.95")}
    assert below == {"0.01": 0, "0.05": 1, "0.9": 1, "0.95": 2}
    assert found['ras_risk_bucket{le="1.0",pack="counted"}'] == 3
    assert found['ras_risk_sum{pack="counted"}'] == pytest.approx(1.97)
    assert 'ras_risk_count{pack="none"}' not in found
    for stage, seconds in {"look": 0.2, "judge": 0.03, "answer": 4.0}.items():
        name = f'ras_stage_seconds_sum{{stage="{stage}"}}'
        assert found[name] - before.get(name, 0) == pytest.approx(seconds)


def test_made_twice_they_are_the_same_metrics(scrape: Any) -> None:
    for _ in range(2):
        Metrics().observe(tenant="one", pack="twice", action="logged", risk=0.5)
    assert scrape()['ras_requests_total{action="logged",pack="twice",tenant="one"}'] == 2


def test_the_gauges_say_what_was_said_last(scrape: Any) -> None:
    metrics = Metrics()
    metrics.packs(3)
    for said in (True, False, True):
        metrics.defended(said)
        assert scrape()["ras_defended"] == said
    assert scrape()["ras_packs"] == 3


def test_a_failure_is_counted_by_a_word_and_never_by_a_sentence(scrape: Any) -> None:
    metrics, before = Metrics(), _failures(scrape())
    for reason in ("timeout", "messages must be a list, got 'one'", "messages must be a list, got 'two'"):
        metrics.failed(reason)
    assert _failures(scrape()) - before == {"timeout": 1, "other": 2}


def _failures(found: dict[str, float]) -> Counter[str]:
    named = {name: re.fullmatch(r'ras_failures_total\{reason="(.*)"\}', name) for name in found}
    return Counter({match[1]: int(found[name]) for name, match in named.items() if match})


def test_they_stay_when_vllm_starts_an_engines_metrics_anew(scrape: Any) -> None:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    from ras_ext.models.load import locate

    Metrics().observe(tenant="one", pack="stays", action="steered", risk=0.5)
    config = EngineArgs(locate("builtin:organism"), dtype="float32", max_model_len=256).create_engine_config()
    for _ in range(2):
        PrometheusStatLogger(config)
    Metrics().observe(tenant="one", pack="stays", action="steered", risk=0.5)
    assert scrape()['ras_requests_total{action="steered",pack="stays",tenant="one"}'] == 2


@pytest.mark.parametrize(("second", "defended"), [("defended", 1), ("undefended", 0), ("silent", 0)])
def test_of_several_processes_counts_are_added_and_one_undefended_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, defended: int
) -> None:
    from prometheus_client import generate_latest
    from vllm.v1.metrics.prometheus import get_prometheus_registry

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for state in ("defended", second):
        command = [sys.executable, "-P", "-c", ONE_PROCESS, state]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    found = samples(generate_latest(get_prometheus_registry()).decode())
    assert found['ras_requests_total{action="steered",pack="mine",tenant="one"}'] == 2
    assert found['ras_risk_count{pack="mine"}'] == 2
    assert found["ras_defended"] == defended
    assert found["ras_packs"] == 2


def test_every_metric_is_described_on_the_page_with_its_labels() -> None:
    rows = re.findall(r"^\| `(ras_\w+)`(?: \((\w+)\))? \| (.*?) \|", PAGE, re.MULTILINE)
    described = {name: (kind or "counter", set(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    made = {}
    for collector in _collectors().values():
        (metric,) = collector.describe()
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        made[name] = (metric.type, set(collector._labelnames))
    assert described == made
