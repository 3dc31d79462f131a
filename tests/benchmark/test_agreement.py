"""Peers answer as ours do, and one that does not is refused, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ras_ext.benchmark import agreement, cases, compositions, peers
from ras_ext.benchmark.agreement import DisagreementError
from ras_ext.benchmark.cases import Case
from ras_ext.benchmark.operators import OPERATORS
from ras_ext.benchmark.rows import run
from tests.benchmark.small import SIZES, small

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def compare(case: Case, function: Callable[..., Any]) -> None:
    """As a run does it."""
    arguments = case.arguments()
    ours = case.results(arguments, case.operator.ours(**arguments))
    arguments = case.peer_arguments()
    with torch.no_grad():
        theirs = case.results(arguments, function(**arguments))
    agreement.check("the peer", theirs, ours, case.tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", SIZES)
def test_every_composition_answers_as_ours(op: str, dtype: torch.dtype) -> None:
    case = small(op, dtype)
    for function in (case.operator.eager, case.operator.fusable, *peers.published(case).values()):
        compare(case, function)


def test_the_composition_of_a_padded_batch_leaves_the_same_steps_and_rows_out() -> None:
    score = small("risk_score").arguments() | {"length": torch.tensor([1, 3], dtype=torch.int32)}
    ours = OPERATORS["risk_score"].ours(**score)
    for function in (compositions.risk_score, compositions.risk_score_fusable):
        agreement.check("the peer", function(**score), ours, 1e-3)
    peak = small("attention_peak_").arguments()
    peak["text_rows"][0, 2:] = False
    again = {**peak, "acc": peak["acc"].clone(), "visual": peak["visual"].long()}
    OPERATORS["attention_peak_"].ours(**peak)
    agreement.check("the peer", compositions.attention_peak_(**again), [peak["acc"]], 1e-3)


def zeros(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **arguments: tuple(torch.zeros_like(t) for t in function(**arguments))


def half_width(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        width = arguments["q"].shape[-1] // 2
        return function(**arguments | {"q": arguments["q"][..., :width], "k": arguments["k"][..., :width]})

    return call


def changed(**changes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **arguments: function(
            **{name: changes[name](value) if name in changes else value for name, value in arguments.items()}
        )

    return wrap


WRONG = [
    *((op, zeros) for op in SIZES),
    ("steer_", changed(risk=lambda risk: risk * 0.5)),
    ("steer_", changed(step=lambda step: step.flip(0))),
    ("steer_", changed(rows=lambda rows: rows[:2], slot=lambda s: s[:2], step=lambda s: s[:2], risk=lambda r: r[:2])),
    ("add_rms_norm_steer_", changed(residual=lambda residual: residual.clone().zero_())),
    ("add_rms_norm_steer_", changed(risk=lambda risk: risk * 0)),
    ("risk_score", changed(gamma=lambda gamma: 1.0)),
    ("risk_score", changed(length=lambda length: length - 1)),
    ("region_risk", changed(center=torch.zeros_like)),
    ("region_risk", changed(region=lambda region: (region + 1) % 4)),
    ("attention_peak_", half_width),
    ("attention_peak_", changed(heads=lambda heads: heads.flip(0) + 1)),
    ("attention_peak_", changed(causal_offset=lambda offset: offset - 8)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "wrong"), WRONG)
def test_a_wrong_peer_is_refused(op: str, wrong: Callable[..., Any], dtype: torch.dtype) -> None:
    case = small(op, dtype)
    with pytest.raises(DisagreementError, match="differs from ours by"):
        compare(case, wrong(case.operator.eager))


def test_a_run_with_a_wrong_peer_times_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small("steer_")
    monkeypatch.setitem(
        cases.OPERATORS, "steer_", replace(case.operator, eager=changed(risk=torch.zeros_like)(case.operator.eager))
    )
    monkeypatch.setattr("ras_ext.benchmark.rows.measure", lambda *a, **k: pytest.fail("it was timed"))
    with pytest.raises(DisagreementError, match="eager for steer_ B=3 D=65 float32 differs"):
        run([case], compile=False)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([torch.tensor([1.0, torch.nan])], "differs"),
        ([torch.tensor([1.0, torch.inf])], "differs"),
        ([torch.ones(1)], "has shape"),
        ([], "gives 0 results"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(theirs: list[Tensor], said: str) -> None:
    ours = [torch.ones(2)]
    agreement.check("the same", ours, ours, 1e-6)
    with pytest.raises(DisagreementError, match=said):
        agreement.check("the peer", theirs, ours, 0.1)
