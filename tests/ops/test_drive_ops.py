"""The driver over all operators finds an operator whose bits depend on what ran before it."""

from __future__ import annotations

import drive_ops
import pytest
import torch

from ras_ext import compiled, ops


@pytest.fixture(scope="module")
def expected() -> dict[str, list[str]]:
    """The hashes of each case run alone."""
    with torch.no_grad():
        return drive_ops.digests("cpu", "odd")


def test_every_operator_in_every_type_is_driven(expected):
    assert {name.split()[0] for name in expected} == set(compiled.OPERATORS)
    assert len(expected) == 3 * len(compiled.OPERATORS)
    assert all(first != second for first, second in expected.values()), "the two cases must differ to tell them apart"


def test_the_operators_give_the_same_bits_in_turn_and_replayed(expected):
    assert drive_ops.repeated("cpu", "odd", 3, expected) == []
    assert drive_ops.replayed("cpu", "odd", expected) == []


def test_an_operator_that_takes_over_what_ran_before_is_found(expected, monkeypatch):
    """The twin: a score that is now and then the one of the call before, as a scratch read too early would make it."""
    real, before = ops.risk_score, []

    def stale(**case):
        before.append(real(**case))
        return before[-2] if len(before) % 5 == 0 else before[-1]

    monkeypatch.setattr(ops, "risk_score", stale)
    wrong = drive_ops.repeated("cpu", "odd", 4, expected)
    assert wrong
    assert {name.split()[0] for name in wrong} == {"risk_score"}


def test_a_replay_that_does_not_follow_its_inputs_is_found(expected, monkeypatch):
    """The twin: a call that keeps the values it was captured with."""
    kept = drive_ops.capture

    def frozen(device, op, buffers):
        return kept(device, op, drive_ops.cases.copied(buffers) if op == "region_risk" else buffers)

    monkeypatch.setattr(drive_ops, "capture", frozen)
    wrong = drive_ops.replayed("cpu", "odd", expected)
    assert {name.split()[0] for name in wrong} == {"region_risk"}
