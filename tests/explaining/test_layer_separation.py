"""Fisher's ratio is the formula's, and evidence from attention enters the score as written."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ras_ext import Guard
from ras_ext.errors import InputError
from ras_ext.explaining import draw_layers, layer_separation
from ras_ext.explaining.evidence import Evidence, with_evidence
from ras_ext.explaining.layers import CONDITIONS, fisher_ratio
from ras_ext.items import Item
from tests.conftest import Subject


@pytest.mark.parametrize(("n", "width"), [(40, 6), (5, 30)])
def test_the_ratio_is_the_formula_solved_directly(n: int, width: int) -> None:
    torch.manual_seed(0)
    safe, unsafe = torch.randn(n, width), torch.randn(n + 3, width) + 0.5
    both = torch.cov(safe.double().T) + torch.cov(unsafe.double().T)
    gap = safe.double().mean(0) - unsafe.double().mean(0)
    told = gap @ torch.linalg.solve(both + 0.1 * both.trace() / width * torch.eye(width).double(), gap)
    assert fisher_ratio(safe, unsafe, 0.1) == pytest.approx(float(told), rel=1e-5)
    assert fisher_ratio(safe, unsafe, 0.2) != pytest.approx(float(told), rel=1e-3)
    assert fisher_ratio(safe, safe.flip(0), 0.1) == pytest.approx(0, abs=1e-9)


def test_every_layer_has_a_ratio_under_every_condition(organism: Subject, evaluation_set: list[Item]) -> None:
    items = evaluation_set[:6] + evaluation_set[-6:]
    found = layer_separation(organism.model, organism.processor, items, organism.vectors.prompts)
    assert tuple(found.ratio) == CONDITIONS
    assert {len(row) for row in found.ratio.values()} == {5}
    assert found.ratio["both"] != found.ratio["original"]
    assert draw_layers(found)[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="two requests of each label"):
        layer_separation(organism.model, organism.processor, items[:1], organism.vectors.prompts)


def test_the_evidence_enters_the_score_as_the_formula_says(organism: Subject) -> None:
    vectors = organism.vectors
    similarity = torch.tensor([0.5, 0.5, math.nan, 0.5])
    risk = torch.tensor([0.4, 0.4, 1.0, 0.4])
    rho = torch.tensor([0.9, 0.1, 0.1, math.nan])
    found = with_evidence(similarity, risk, rho, vectors, Evidence(2.0, 0.5))
    told = torch.sigmoid(vectors.alpha * (similarity[:2] - vectors.s_base) + 2.0 * (rho[:2] - 0.5))
    torch.testing.assert_close(found[:2], told)
    assert found[0] > found[1]
    assert found[2] == 1, "what could not be judged stays at full risk"
    assert found[3] == risk[3], "without an image nothing changes"


def test_evidence_that_was_never_calibrated_is_refused(organism: Subject) -> None:
    with pytest.raises(InputError, match="hold no calibrated evidence"):
        Guard(organism.model, organism.processor, organism.vectors, evidence="attention")
    zero = {"regions": {"beta": True, "rho_base": 0.5}}
    with pytest.raises(InputError, match="hold no calibrated evidence"):
        Guard(organism.model, organism.processor, replace(organism.vectors, calibration=zero), evidence="attention")
