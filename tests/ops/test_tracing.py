"""Inside ``torch.compile``: no graph break, no copy, and every operator passes torch's own checks."""

from __future__ import annotations

import math
import re

import ops_cases as cases
import pytest
import torch
from ops_cases import ints
from torch._inductor.utils import fresh_inductor_cache, run_and_get_code

from ras_ext import ops

CASES = {
    "attention_peak_": [cases.attention, lambda **k: cases.attention(lse=True, **k)],
    "region_risk": [cases.regions, lambda **k: cases.regions(center=False, **k)],
    "risk_score": [cases.score],
    "steer_": [cases.steer],
    "add_rms_norm_steer_": [cases.norm, lambda **k: cases.norm(residual=False, **k)],
}


@pytest.mark.parametrize(("name", "make"), [(name, make) for name, makes in CASES.items() for make in makes])
def test_torch_finds_nothing_wrong_with_the_operator(device, name, make):
    operator = getattr(torch.ops.ras_ext, name).default
    results = torch.library.opcheck(operator, tuple(make(device=device).values()))
    assert set(results.values()) == {"SUCCESS"}, results


def _writes(x):
    x.add_(1)


def test_torch_does_find_a_wrong_schema():
    """The twin: an operator that writes what its schema says it only reads must fail the same check."""
    with torch.library._scoped_library("ras_ext_test", "FRAGMENT") as library:
        library.define("liar(Tensor x) -> ()")
        library.impl("liar", _writes, "CompositeExplicitAutograd")
        with pytest.raises(Exception, match="mutated"):
            torch.library.opcheck(torch.ops.ras_ext_test.liar.default, (torch.ones(3),))


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_inferred_without_data(name):
    case = CASES[name][0]()
    real = getattr(torch.ops.ras_ext, name)(**case)
    meta = {key: v.to("meta") if isinstance(v, torch.Tensor) else v for key, v in case.items()}
    inferred = getattr(ops, name)(**meta)
    if real is None:
        assert inferred is None
    else:
        assert [(t.shape, t.dtype) for t in inferred] == [(t.shape, t.dtype) for t in real]


def _everything(steer, norm, score, regions, attention):
    ops.steer_(**steer)
    ops.add_rms_norm_steer_(**norm)
    ops.attention_peak_(**attention)
    return *ops.risk_score(**score), *ops.region_risk(**regions)


def test_all_operators_compile_into_one_graph(device):
    make = [cases.steer, cases.norm, cases.score, cases.regions, cases.attention]
    eager = [f(device=device) for f in make]
    traced = [cases.copied(case) for case in eager]
    wanted = _everything(*eager)
    torch._dynamo.reset()
    got = torch.compile(_everything, fullgraph=True, backend="aot_eager")(*traced)
    for one, other in zip(got, wanted, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(traced, eager, strict=True):
        assert all(torch.equal(one[k], v) for k, v in other.items() if isinstance(v, torch.Tensor))
    explained = torch._dynamo.explain(_everything)(*[cases.copied(case) for case in eager])
    assert explained.graph_break_count == 0


def _steer_intermediate(h, risk, entry, prototypes):
    h = h * 2
    ops.steer_(h[:, -1], entry, prototypes, torch.zeros_like(entry), torch.zeros_like(entry), risk)
    return h


def _steer_input(h, risk, entry, prototypes):
    ops.steer_(h[:, -1], entry, prototypes, torch.zeros_like(entry), torch.zeros_like(entry), risk)


def _needs_a_copy(h, risk, entry, prototypes):
    h = h * 2
    before = h.clone()
    ops.steer_(h[:, -1], entry, prototypes, torch.zeros_like(entry), torch.zeros_like(entry), risk)
    return before, h


@pytest.mark.parametrize(("function", "copies"), [(_steer_intermediate, 1), (_steer_input, 0), (_needs_a_copy, 2)])
def test_a_view_is_steered_in_place_without_a_copy(function, copies):
    """The generated code allocates the product and nothing more; the twin that needs a second buffer shows it."""
    h, prototypes = torch.randn(3, 4, 65), torch.randn(1, 1, 65)
    arguments = (torch.tensor([1.0, 0.25, 0.0]), ints(0, 1, 2), prototypes)
    wanted_h = h.clone()
    wanted = function(wanted_h, *arguments)
    torch._dynamo.reset()
    with fresh_inductor_cache():
        got, (code,) = run_and_get_code(torch.compile(function, fullgraph=True), h, *arguments)
    assert "ras_ext.steer_" in code
    sizes = [
        math.prod(int(n) for n in size.split(",") if n.strip())
        for size in re.findall(r"= empty_strided_cpu\(\((.*?)\)", code)
    ]
    assert sizes.count(h.numel()) == copies, code
    assert torch.equal(h, wanted_h)
    for one, other in zip(
        [got] if torch.is_tensor(got) else got or (), [wanted] if torch.is_tensor(wanted) else wanted or (), strict=True
    ):
        assert torch.equal(one, other)
