"""What Prometheus reads of the defence, on the registry that vLLM's own /metrics serves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ras_ext.serve.server.reasons import a_word

STAGES = ("look", "judge", "answer")
# Those of thresholds one would set, so that the counts say what a threshold would have done.
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
NO_PACK = "none"


class Metrics:
    """The metrics of this process; made twice, they are the same ones.

    With several server processes vLLM adds up counts; gauges are the least of all processes, so that the server
    is defended only if each of them is. So make it only in processes that answer requests.
    """

    def __init__(self) -> None:
        self._of = _collectors()

    def observe(
        self,
        *,
        tenant: str,
        pack: str | None,
        action: str,
        risk: float | None = None,
        refused: bool = False,
        steered_tokens: int = 0,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Counts an answered request, a blocked one too.

        Labels are those of the policy and the engine, never of a client: each new one is a new series.
        """
        of, name = self._of, pack or NO_PACK
        of["requests"].labels(name, tenant, action).inc()
        if risk is not None:
            # What is no number is a risk of 1, as everywhere.
            of["risk"].labels(name).observe(risk if 0.0 <= risk <= 1.0 else 1.0)
        if refused:
            of["refusals"].labels(name).inc()
        if steered_tokens:
            of["steered_tokens"].labels(name).inc(steered_tokens)
        for stage in STAGES:
            if seconds and stage in seconds:
                of["stage_seconds"].labels(stage).observe(seconds[stage])

    def failed(self, reason: str) -> None:
        """Counts a request that failed, or a line that was not logged, by a word of :mod:`.reasons`."""
        self._of["failures"].labels(a_word(reason)).inc()

    def defended(self, yes: bool) -> None:
        """Says whether answers are defended; 0 until somebody has said so."""
        self._of["defended"].set(1 if yes else 0)

    def packs(self, number: int) -> None:
        """Says how many packs the engine holds."""
        self._of["packs"].set(number)


@cache
def _collectors() -> dict[str, Any]:
    from prometheus_client import Counter, Gauge, Histogram

    by_pack = ("pack",)
    return {
        "risk": Histogram("ras_risk", "Risk of the requests that were judged.", by_pack, buckets=RISKS),
        "requests": Counter("ras_requests", "Requests by what was done about them.", ("pack", "tenant", "action")),
        "refusals": Counter("ras_refusals", "Answers that open with a refusal, and blocked requests.", by_pack),
        "steered_tokens": Counter("ras_steered_tokens", "Tokens that were steered.", by_pack),
        "failures": Counter("ras_failures", "What failed, by reason.", ("reason",)),
        "stage_seconds": Histogram("ras_stage_seconds", "Seconds of each stage.", ("stage",), buckets=SECONDS),
        "defended": Gauge("ras_defended", "1 while answers are defended, else 0.", multiprocess_mode="min"),
        "packs": Gauge("ras_packs", "Packs that the engine holds.", multiprocess_mode="min"),
    }
