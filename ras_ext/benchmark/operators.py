"""What a case is made of: each operator, the same thing composed in torch, and arguments as the runtime passes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ras_ext import ops
from ras_ext.benchmark import compositions

Arguments = dict[str, Any]
STEPS = 3  # the method's N: steps scored, and prototypes


@dataclass(frozen=True)
class Operator:
    """One of ours and the same thing composed in torch.

    Attributes:
        ours: the public function.
        eager: the quickest careful composition in eager torch.
        fusable: what torch.compile is given.
        written: the arguments that hold ours' results, for operators that return none.
        rounds: whether results carry the rounding of the inputs' type; else all is computed in float32.
        arguments: from sizes, type and device.
        shape: how the sizes are written.
    """

    ours: Callable[..., Any]
    eager: Callable[..., Any]
    fusable: Callable[..., Any]
    written: tuple[str, ...]
    rounds: bool
    arguments: Callable[..., Arguments]
    shape: str


def for_peers(arguments: Arguments) -> Arguments:
    """The same memory, with indices as int64: converting them is not a peer's work."""
    return {name: v.long() if isinstance(v, Tensor) and v.dtype == torch.int32 else v for name, v in arguments.items()}


def tensors(arguments: Arguments) -> Iterator[Tensor]:
    """The tensors among the arguments."""
    return (value for value in arguments.values() if isinstance(value, Tensor))


def steering(batch: int, hidden: int, dtype: torch.dtype, device: torch.device) -> Arguments:
    """Every row steered, at a step of its own, with half the full dose."""
    return {
        "x": torch.randn(batch, hidden, device=device).to(dtype),
        "rows": torch.randperm(batch, dtype=torch.int32, device=device),
        "prototypes": torch.randn(1, STEPS, hidden, device=device).to(dtype),
        "slot": torch.zeros(batch, dtype=torch.int32, device=device),
        "step": torch.arange(batch, dtype=torch.int32, device=device) % STEPS,
        "risk": torch.full((batch,), 0.5, device=device),
    }


def norm(batch: int, hidden: int, dtype: torch.dtype, device: torch.device) -> Arguments:
    rest = steering(batch, hidden, dtype, device)
    x = rest.pop("x")
    return {
        "out": torch.empty_like(x),
        "x": x,
        "residual": torch.randn(batch, hidden, device=device).to(dtype),
        "weight": torch.rand(hidden, device=device).to(dtype),
        "eps": 1e-5,
        **rest,
    }


def score(batch: int, vocabulary: int, dtype: torch.dtype, device: torch.device, steps: int = STEPS) -> Arguments:
    """Peaked distributions, and a prototype that shares some of their mass."""
    logits = 3 * torch.randn(batch, steps, vocabulary, device=device)
    return {
        "prototype": torch.softmax(logits[0] + torch.randn(vocabulary, device=device), dim=-1).mean(0),
        "logits": logits.to(dtype),
        "length": torch.full((batch,), steps, dtype=torch.int32, device=device),
        "gamma": 0.3,
        "alpha": 6.0,
        "s_base": 0.4,
    }


def regions(
    batch: int, tokens: int, hidden: int, n_regions: int, dtype: torch.dtype, device: torch.device
) -> Arguments:
    return {
        "attention": torch.rand(batch, tokens, device=device),
        "hidden": torch.randn(batch, tokens, hidden, device=device).to(dtype),
        "direction": torch.randn(hidden, device=device),
        "center": 0.5 * torch.randn(hidden, device=device),
        "slope": 8.0,
        "bias": 0.0,
        "region": torch.randint(n_regions, (batch, tokens), dtype=torch.int32, device=device),
        "n_regions": n_regions,
    }


def peak(
    batch: int,
    heads: int,
    kv_heads: int,
    chosen: int,
    rows: int,
    keys: int,
    visual: int,
    width: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Arguments:
    """The last `rows` positions are text and the queries; the visual tokens stand at the front."""
    return {
        "acc": torch.zeros(batch, visual, device=device),
        "q": torch.randn(batch, heads, rows, width, device=device).to(dtype),
        "k": torch.randn(batch, kv_heads, keys, width, device=device).to(dtype),
        "lse": None,
        "heads": torch.arange(0, heads, heads // chosen, dtype=torch.int32, device=device)[:chosen],
        "text_rows": torch.ones(batch, rows, dtype=torch.bool, device=device),
        "visual": torch.arange(visual, dtype=torch.int32, device=device).expand(batch, visual).contiguous(),
        "key_range": None,
        "scale": width**-0.5,
        "weight": 1.0 / chosen,
        "causal_offset": keys - rows,
    }


OPERATORS = {
    "steer_": Operator(
        ops.steer_, compositions.steer_, compositions.steer_, ("x",), True, steering, "B={batch} D={hidden}"
    ),
    "add_rms_norm_steer_": Operator(
        ops.add_rms_norm_steer_,
        compositions.add_rms_norm_steer_,
        compositions.add_rms_norm_steer_,
        ("out", "residual"),
        True,
        norm,
        "B={batch} D={hidden}",
    ),
    "risk_score": Operator(
        ops.risk_score,
        compositions.risk_score,
        compositions.risk_score_fusable,
        (),
        False,
        score,
        f"B={{batch}} N={STEPS} V={{vocabulary}}",
    ),
    "region_risk": Operator(
        ops.region_risk,
        compositions.region_risk,
        compositions.region_risk,
        (),
        False,
        regions,
        "B={batch} J={tokens} D={hidden} R={n_regions}",
    ),
    "attention_peak_": Operator(
        ops.attention_peak_,
        compositions.attention_peak_,
        compositions.attention_peak_,
        ("acc",),
        True,
        peak,
        "B={batch} T={rows} S={keys} J={visual} heads={chosen}/{heads} kv={kv_heads} d={width}",
    ),
}
