"""Every wrong argument is refused in one sentence that says what it must be and what came, in both implementations."""

from __future__ import annotations

import ops_cases as cases
import pytest
import torch
from ops_cases import ints

from ras_ext import ops, reference

F32, I64 = torch.float32, torch.int64


def _wide(*shape, dtype=F32):
    """A tensor whose last dimension is not contiguous."""
    return torch.zeros(*shape[:-1], 2 * shape[-1]).to(dtype)[..., ::2]


def _zeros(*shape, dtype=F32):
    return torch.zeros(shape).to(dtype)


STEER = [
    ("x", _zeros(5), r"x must be (rows, hidden), got (5,)"),
    ("x", _zeros(5, 129, dtype=torch.int32), r"x must be float32, float16 or bfloat16, got int32"),
    ("x", _wide(5, 129), r"x must have its last dimension contiguous, got strides (258, 2)"),
    ("rows", _zeros(3, 1, dtype=torch.int32), r"rows must be (batch,), got (3, 1)"),
    ("rows", _zeros(3, dtype=I64), r"rows must be int32, got int64"),
    ("rows", _wide(3, dtype=torch.int32), r"rows must have its last dimension contiguous, got strides (2,)"),
    ("prototypes", _zeros(4, 129), r"prototypes must be (slots, steps, hidden), got (4, 129)"),
    ("prototypes", _zeros(3, 4, 64), r"prototypes must be (slots, steps, hidden) with hidden 129, got (3, 4, 64)"),
    ("prototypes", _zeros(3, 4, 129, dtype=I64), r"prototypes must be float32, float16 or bfloat16, got int64"),
    ("prototypes", _wide(3, 4, 129), r"prototypes must have its last dimension contiguous, got strides (1032, 258, 2)"),
    ("slot", ints(0, 0), r"slot must be (batch,) with batch 3, got (2,)"),
    ("slot", _zeros(3), r"slot must be int32, got float32"),
    ("step", ints(0, 0, 0, 0), r"step must be (batch,) with batch 3, got (4,)"),
    ("step", _zeros(3, dtype=I64), r"step must be int32, got int64"),
    ("risk", _zeros(2), r"risk must be (batch,) with batch 3, got (2,)"),
    ("risk", _zeros(3, dtype=torch.float16), r"risk must be float32, got float16"),
    ("risk", torch.zeros(1).expand(3), r"risk must have its last dimension contiguous, got strides (0,)"),
]
NORM = [
    ("x", _zeros(5), r"x must be (rows, hidden), got (5,)"),
    ("out", _zeros(4, 129), r"out must be (rows, hidden) with rows 5, got (4, 129)"),
    ("out", _zeros(5, 64), r"out must be (rows, hidden) with hidden 129, got (5, 64)"),
    ("out", _zeros(5, 129, dtype=I64), r"out must be float32, float16 or bfloat16, got int64"),
    ("residual", _zeros(5, 128), r"residual must be (rows, hidden) with hidden 129, got (5, 128)"),
    ("residual", _wide(5, 129), r"residual must have its last dimension contiguous, got strides (258, 2)"),
    ("weight", _zeros(1, 129), r"weight must be (hidden,), got (1, 129)"),
    ("weight", _zeros(128), r"weight must be (hidden,) with hidden 129, got (128,)"),
    ("eps", -1.0, r"eps must be finite and not negative, got -1"),
    ("eps", float("nan"), r"eps must be finite and not negative, got nan"),
    ("prototypes", _zeros(3, 4, 64), r"prototypes must be (slots, steps, hidden) with hidden 129, got (3, 4, 64)"),
    ("risk", _zeros(2), r"risk must be (batch,) with batch 3, got (2,)"),
]
SCORE = [
    ("logits", _zeros(3, 1031), r"logits must be (batch, steps, vocabulary), got (3, 1031)"),
    ("logits", _zeros(3, 3, 1031, dtype=I64), r"logits must be float32, float16 or bfloat16, got int64"),
    ("logits", _wide(3, 3, 1031), r"logits must have its last dimension contiguous, got strides (6186, 2062, 2)"),
    (
        "logits",
        _zeros(3, 3, 0),
        r"logits must be (batch, steps, vocabulary) with a vocabulary of at least 1, got (3, 3, 0)",
    ),
    ("length", ints(3, 3), r"length must be (batch,) with batch 3, got (2,)"),
    ("length", _zeros(3, dtype=I64), r"length must be int32, got int64"),
    ("prototype", _zeros(1000), r"prototype must be (vocabulary,) with vocabulary 1031, got (1000,)"),
    ("prototype", _zeros(1031, dtype=torch.bfloat16), r"prototype must be float32, got bfloat16"),
    ("gamma", -0.5, r"gamma must be finite and not negative, got -0.5"),
    ("alpha", float("inf"), r"alpha must be finite, got inf"),
    ("s_base", float("nan"), r"s_base must be finite, got nan"),
]
REGIONS = [
    ("hidden", _zeros(37, 129), r"hidden must be (batch, tokens, hidden), got (37, 129)"),
    ("hidden", _zeros(2, 37, 129, dtype=I64), r"hidden must be float32, float16 or bfloat16, got int64"),
    (
        "hidden",
        _zeros(2, 37, 0),
        r"hidden must be (batch, tokens, hidden) with a hidden size of at least 1, got (2, 37, 0)",
    ),
    ("attention", _zeros(2, 36), r"attention must be (batch, tokens) with tokens 37, got (2, 36)"),
    ("attention", _zeros(1, 37), r"attention must be (batch, tokens) with batch 2, got (1, 37)"),
    ("attention", _zeros(2, 37, dtype=torch.float16), r"attention must be float32, got float16"),
    ("region", _zeros(2, 37, dtype=I64), r"region must be int32, got int64"),
    ("region", _wide(2, 37, dtype=torch.int32), r"region must have its last dimension contiguous, got strides (74, 2)"),
    ("direction", _zeros(128), r"direction must be (hidden,) with hidden 129, got (128,)"),
    ("center", _zeros(129, dtype=torch.bfloat16), r"center must be float32, got bfloat16"),
    ("slope", float("inf"), r"slope must be finite, got inf"),
    ("bias", float("nan"), r"bias must be finite, got nan"),
    ("n_regions", -1, r"n_regions must not be negative, got -1"),
]
ATTENTION = [
    ("q", _zeros(2, 6, 7), r"q must be (batch, heads, rows, head_dim), got (2, 6, 7)"),
    ("k", _zeros(2, 2, 19), r"k must be (batch, kv_heads, keys, head_dim), got (2, 2, 19)"),
    ("k", _zeros(2, 2, 19, 24, dtype=torch.float16), r"k must be float32, got float16"),
    ("k", _zeros(2, 2, 19, 12), r"k must be (batch, kv_heads, keys, head_dim) with head_dim 24, got (2, 2, 19, 12)"),
    (
        "k",
        _zeros(2, 4, 19, 24),
        r"k must be (batch, kv_heads, keys, head_dim) with kv_heads a divisor of the 6 heads of q, got (2, 4, 19, 24)",
    ),
    ("q", _wide(2, 6, 7, 24), r"q must have its last dimension contiguous, got strides (2016, 336, 48, 2)"),
    ("acc", _zeros(3, 5), r"acc must be (batch, visual) with batch 2, got (3, 5)"),
    ("acc", _zeros(2, 5, dtype=torch.bfloat16), r"acc must be float32, got bfloat16"),
    ("heads", _zeros(1, 2, dtype=torch.int32), r"heads must be (heads,), got (1, 2)"),
    ("heads", _zeros(2, dtype=I64), r"heads must be int32, got int64"),
    ("text_rows", _zeros(2, 6, dtype=torch.bool), r"text_rows must be (batch, rows) with rows 7, got (2, 6)"),
    ("text_rows", _zeros(2, 7, dtype=torch.uint8), r"text_rows must be bool, got uint8"),
    ("visual", _zeros(2, 4, dtype=torch.int32), r"visual must be (batch, visual) with visual 5, got (2, 4)"),
    ("visual", _zeros(2, 5, dtype=I64), r"visual must be int32, got int64"),
    ("lse", _zeros(2, 6, 8), r"lse must be (batch, heads, rows) with rows 7, got (2, 6, 8)"),
    ("lse", _zeros(2, 6, 7, dtype=torch.float16), r"lse must be float32, got float16"),
    ("key_range", _zeros(2, 3, dtype=torch.int32), r"key_range must be (batch, 2) with width 2, got (2, 3)"),
    ("key_range", _zeros(2, 2, dtype=I64), r"key_range must be int32, got int64"),
    ("scale", float("nan"), r"scale must be finite, got nan"),
    ("weight", float("inf"), r"weight must be finite, got inf"),
]
WRONG = [
    pytest.param(operator, make, *wrong, id=f"{operator}-{wrong[2]}")
    for operator, make, table in (
        ("steer_", cases.steer, STEER),
        ("add_rms_norm_steer_", cases.norm, NORM),
        ("risk_score", cases.score, SCORE),
        ("region_risk", cases.regions, REGIONS),
        ("attention_peak_", cases.attention, ATTENTION),
    )
    for wrong in table
]


@pytest.mark.parametrize(("operator", "make", "name", "value", "sentence"), WRONG)
@pytest.mark.parametrize("implementation", [ops, reference])
def test_a_wrong_argument_is_refused_with(implementation, operator, make, name, value, sentence):
    with pytest.raises(RuntimeError) as refused:
        getattr(implementation, operator)(**{**make(), name: value})
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("operator", "make"),
    [
        ("steer_", cases.steer),
        ("add_rms_norm_steer_", cases.norm),
        ("risk_score", cases.score),
        ("region_risk", cases.regions),
        ("attention_peak_", cases.attention),
    ],
)
def test_float64_is_for_the_reference_only(operator, make):
    with pytest.raises(RuntimeError, match=r"must be float32.*got float64"):
        getattr(ops, operator)(**cases.exact(make()))
    getattr(reference, operator)(**cases.exact(make()))


@pytest.mark.parametrize("name", ["rows", "prototypes", "slot", "step", "risk"])
def test_a_tensor_on_another_device_is_named(name):
    case = cases.steer()
    case[name] = case[name].to("meta")
    with pytest.raises(RuntimeError, match=rf"^{name} must be on the device of x \(cpu\), got meta"):
        reference.steer_(**case)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device to hold a second tensor")
def test_a_tensor_on_another_device_is_named_by_the_compiled_operator():
    case = {**cases.steer(device="cuda"), "risk": torch.zeros(3)}
    with pytest.raises(RuntimeError, match=r"^risk must be on the device of x \(cuda:0\), got cpu"):
        ops.steer_(**case)


def _views(shape, *, shift):
    """Two views of one buffer, the second `shift` elements further on."""
    count = shape[0] * shape[1]
    buffer = torch.randn(count + shift)
    return buffer[:count].view(shape), buffer[shift:].view(shape)


@pytest.mark.parametrize("shift", [0, 1, 128, 600])
def test_memory_that_is_written_must_not_be_read_as_well(shift):
    case = cases.norm()
    case["out"], case["x"] = _views((5, 129), shift=shift)
    with pytest.raises(RuntimeError, match=r"^out is written to and must not share memory with x; pass a copy"):
        ops.add_rms_norm_steer_(**case)
    case = cases.norm()
    case["residual"], case["x"] = _views((5, 129), shift=shift)
    with pytest.raises(RuntimeError, match=r"^residual is written to and must not share memory with x"):
        ops.add_rms_norm_steer_(**case)
    case = cases.norm()
    case["residual"], case["out"] = _views((5, 129), shift=shift)
    with pytest.raises(RuntimeError, match=r"^residual is written to and must not share memory with out"):
        ops.add_rms_norm_steer_(**case)


def test_a_prototype_inside_the_rows_is_refused():
    case = cases.steer()
    case["prototypes"] = case["x"][2:3].unsqueeze(0)
    case["slot"].zero_()
    with pytest.raises(RuntimeError, match=r"^x is written to and must not share memory with prototypes"):
        ops.steer_(**case)


def test_an_accumulator_inside_the_log_sum_exps_is_refused():
    case = cases.attention(lse=True)
    case["acc"] = case["lse"][:, 0, :5]
    with pytest.raises(RuntimeError, match=r"^acc is written to and must not share memory with lse"):
        ops.attention_peak_(**case)


def test_neighbours_in_one_buffer_are_no_overlap():
    """The two halves of a fused projection lie between each other's rows and share nothing."""
    case, apart = cases.norm(), cases.norm()
    apart = cases.copied(case)
    buffer = torch.empty(5, 3 * 129)
    for i, name in enumerate(("out", "x", "residual")):
        view = buffer[:, i * 129 : (i + 1) * 129]
        view.copy_(case[name])
        case[name] = view
    ops.add_rms_norm_steer_(**case)
    ops.add_rms_norm_steer_(**apart)
    assert torch.equal(case["out"], apart["out"])
    case["out"] = buffer[:, 100:229]
    with pytest.raises(RuntimeError, match=r"^out is written to and must not share memory with x"):
        ops.add_rms_norm_steer_(**case)


def test_rows_that_are_the_same_memory_are_refused():
    case = cases.steer()
    with pytest.raises(
        RuntimeError, match=r"^x is written to, so its rows must not overlap each other, got shape \(5, 129\)"
    ):
        ops.steer_(**{**case, "x": torch.zeros(1, 129).expand(5, 129)})
    with pytest.raises(RuntimeError, match=r"rows must not overlap each other.*strides \(64, 1\)"):
        ops.steer_(**{**case, "x": torch.zeros(1000).as_strided((5, 129), (64, 1))})
