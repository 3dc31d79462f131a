"""Random arguments for each operator, as dictionaries in the order of its parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Case = dict[str, Any]


def ints(*values: int, device: str = "cpu") -> Tensor:
    """An int32 vector."""
    return torch.tensor(values, dtype=torch.int32, device=device)


def steering(batch: int, n_rows: int, hidden: int, dtype: torch.dtype, device: str) -> Case:
    """Entries that steer distinct rows by different doses toward three slots of four steps."""
    return {
        "rows": torch.randperm(n_rows, device=device)[:batch].int(),
        "prototypes": torch.randn(3, 4, hidden, device=device).to(dtype),
        "slot": torch.randint(0, 3, (batch,), device=device, dtype=torch.int32),
        "step": torch.randint(0, 4, (batch,), device=device, dtype=torch.int32),
        "risk": torch.rand(batch, device=device),
    }


def steer(
    batch: int = 3,
    n_rows: int = 5,
    hidden: int = 129,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    prototype_dtype: torch.dtype | None = None,
) -> Case:
    """Arguments of ``steer_``."""
    x = torch.randn(n_rows, hidden, device=device).to(dtype)
    return {"x": x, **steering(batch, n_rows, hidden, prototype_dtype or dtype, device)}


def norm(
    batch: int = 3,
    n_rows: int = 5,
    hidden: int = 129,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    residual: bool = True,
) -> Case:
    """Arguments of ``add_rms_norm_steer_``."""
    x = torch.randn(n_rows, hidden, device=device).to(dtype)
    return {
        "out": torch.full_like(x, 7.0),
        "x": x,
        "residual": torch.randn_like(x) if residual else None,
        "weight": (1 + torch.rand(hidden, device=device)).to(dtype),
        "eps": 1e-5,
        **steering(batch, n_rows, hidden, dtype, device),
    }


def score(
    batch: int = 3, steps: int = 3, vocabulary: int = 1031, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Case:
    """Arguments of ``risk_score``; the prototype is a mixture of peaked distributions, as calibration makes them."""
    logits = 4 * torch.randn(batch, steps, vocabulary, device=device)
    peaked = torch.softmax(logits[:1] + 2 * torch.randn(steps, vocabulary, device=device), dim=-1)
    return {
        "logits": logits.to(dtype),
        "length": torch.full((batch,), steps, dtype=torch.int32, device=device),
        "prototype": peaked[0].mean(dim=0) if peaked.numel() else torch.rand(vocabulary, device=device),
        "gamma": 0.3,
        "alpha": 6.0,
        "s_base": 0.4,
    }


def regions(
    batch: int = 2,
    tokens: int = 37,
    hidden: int = 129,
    n_regions: int = 5,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    center: bool = True,
) -> Case:
    """Arguments of ``region_risk``; one token in some is left out."""
    return {
        "attention": torch.rand(batch, tokens, device=device),
        "hidden": torch.randn(batch, tokens, hidden, device=device).to(dtype),
        "direction": torch.randn(hidden, device=device),
        "center": 0.5 * torch.randn(hidden, device=device) if center else None,
        "slope": 8.0,
        "bias": 0.1,
        "region": torch.randint(-1, n_regions, (batch, tokens), dtype=torch.int32, device=device),
        "n_regions": n_regions,
    }


def attention(
    batch: int = 2,
    heads: int = 6,
    kv_heads: int = 2,
    rows: int = 7,
    keys: int = 19,
    visual: int = 5,
    width: int = 24,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    lse: bool = False,
) -> Case:
    """Arguments of ``attention_peak_``: queries at the end of the keys, so that the causal offset is keys - rows."""
    q = torch.randn(batch, heads, rows, width, device=device).to(dtype)
    k = torch.randn(batch, kv_heads, keys, width, device=device).to(dtype)
    return {
        "acc": torch.rand(batch, visual, device=device),
        "q": q,
        "k": k,
        "lse": 1.5 + torch.rand(batch, heads, rows, device=device) if lse else None,
        "heads": ints(*range(0, heads, 2), device=device),
        "text_rows": torch.rand(batch, rows, device=device) < 0.6,
        "visual": torch.randint(0, max(keys, 1), (batch, visual), dtype=torch.int32, device=device),
        "key_range": None,
        "scale": max(width, 1) ** -0.5,
        "weight": 0.5,
        "causal_offset": keys - rows,
    }


def exact(case: Case) -> Case:
    """The same arguments with every floating tensor in float64."""
    return {name: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for name, v in case.items()}


def copied(case: Case) -> Case:
    """The same arguments in memory of their own, with the same strides."""
    return {name: _copy(v) if isinstance(v, Tensor) else v for name, v in case.items()}


def _copy(t: Tensor) -> Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device).copy_(t)


def strided(t: Tensor, gap: int = 3) -> Tensor:
    """The same values with `gap` unused elements after every row."""
    wide = torch.full((*t.shape[:-1], t.shape[-1] + gap), float("nan") if t.is_floating_point() else 1, device=t.device)
    view = wide.to(t.dtype)[..., : t.shape[-1]]
    view.copy_(t)
    return view
