"""Argument checks of the plain-torch reference, in the words the compiled operators use.

Everything a host can see without waiting for a device is checked; float64 is let through wherever float32 is asked
for, since the reference also runs in float64. All failures are `RuntimeError`, as they are from the compiled code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def require(condition: bool, sentence: str) -> None:
    """Raises `RuntimeError` with the sentence unless the condition holds."""
    if not condition:
        raise RuntimeError(sentence)


def floating(t: Tensor, name: str) -> None:
    """A floating-point tensor."""
    require(t.dtype in _FLOATING, f"{name} must be float32, float16 or bfloat16, got {_name(t.dtype)}")


def dtype(t: Tensor, name: str, wanted: torch.dtype) -> None:
    """A tensor of one type (or float64 for float32)."""
    fits = t.dtype == wanted or (wanted == torch.float32 and t.dtype == torch.float64)
    require(fits, f"{name} must be {_name(wanted)}, got {_name(t.dtype)}")


def shape(t: Tensor, name: str, axes: str, sizes: dict[int, tuple[str, int]] | None = None) -> None:
    """A tensor with these axes ("(batch, tokens)"); `sizes` maps a dimension to what it is and how long it must be."""
    got = tuple(t.shape)
    require(t.ndim == len(axes.strip("(),").split(",")), f"{name} must be {axes}, got {got}")
    for dim, (what, size) in (sizes or {}).items():
        require(t.shape[dim] == size, f"{name} must be {axes} with {what} {size}, got {got}")


def rows(t: Tensor, name: str) -> None:
    """A tensor whose last dimension is contiguous."""
    contiguous = t.shape[-1] <= 1 or t.numel() == 0 or t.stride(-1) == 1
    require(contiguous, f"{name} must have its last dimension contiguous, got strides {tuple(t.stride())}")


def same_device(t: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Two tensors on one device."""
    require(t.device == other.device, f"{name} must be on the device of {other_name} ({other.device}), got {t.device}")


def finite(value: float, name: str) -> None:
    """A finite number."""
    require(math.isfinite(value), f"{name} must be finite, got {value:g}")


def not_negative(value: float, name: str) -> None:
    """A finite number, zero or more."""
    require(math.isfinite(value) and value >= 0, f"{name} must be finite and not negative, got {value:g}")


def readable(t: Tensor) -> bool:
    """Whether the values can be looked at here and now, without a device to wait for or a graph being traced."""
    return type(t) is torch.Tensor and t.device.type == "cpu" and not torch.compiler.is_compiling()


def below(t: Tensor, name: str, what: str, limit: int) -> None:
    """Index values below a limit, where a host can see them."""
    if readable(t) and t.numel() and int(t.max()) >= limit:
        where = (t >= limit).nonzero()[0].tolist()
        at = where[0] if len(where) == 1 else tuple(where)
        raise RuntimeError(f"{name} must be below {what} {limit}, got {int(t[tuple(where)])} at {at}")


def steering(
    x: Tensor, x_name: str, rows_: Tensor, prototypes: Tensor, slot: Tensor, step: Tensor, risk: Tensor
) -> None:
    """The arguments that say which rows get which prototype in what dose."""
    shape(rows_, "rows", "(batch,)")
    dtype(rows_, "rows", torch.int32)
    rows(rows_, "rows")
    shape(prototypes, "prototypes", "(slots, steps, hidden)", {2: ("hidden", x.shape[1])})
    floating(prototypes, "prototypes")
    rows(prototypes, "prototypes")
    for t, name, wanted in ((slot, "slot", torch.int32), (step, "step", torch.int32), (risk, "risk", torch.float32)):
        shape(t, name, "(batch,)", {0: ("batch", rows_.shape[0])})
        dtype(t, name, wanted)
        rows(t, name)
        same_device(t, name, x, x_name)
    same_device(rows_, "rows", x, x_name)
    same_device(prototypes, "prototypes", x, x_name)
    below(rows_, "rows", "the number of rows", x.shape[0])
    below(slot, "slot", "the number of slots", prototypes.shape[0])


def attention_peak(
    acc: Tensor,
    q: Tensor,
    k: Tensor,
    lse: Tensor | None,
    heads: Tensor,
    text_rows: Tensor,
    visual: Tensor,
    key_range: Tensor | None,
    scale: float,
    weight: float,
) -> None:
    """The arguments of ``attention_peak_``."""
    shape(q, "q", "(batch, heads, rows, head_dim)")
    floating(q, "q")
    batch, n_heads, n_rows, width = q.shape
    key_axes = "(batch, kv_heads, keys, head_dim)"
    shape(k, "k", key_axes)
    dtype(k, "k", q.dtype)
    shape(k, "k", key_axes, {0: ("batch", batch), 3: ("head_dim", width)})
    groups = k.shape[1] > 0 and n_heads % k.shape[1] == 0
    require(groups, f"k must be {key_axes} with kv_heads a divisor of the {n_heads} heads of q, got {tuple(k.shape)}")
    shape(acc, "acc", "(batch, visual)", {0: ("batch", batch)})
    dtype(acc, "acc", torch.float32)
    shape(heads, "heads", "(heads,)")
    dtype(heads, "heads", torch.int32)
    shape(text_rows, "text_rows", "(batch, rows)", {0: ("batch", batch), 1: ("rows", n_rows)})
    dtype(text_rows, "text_rows", torch.bool)
    shape(visual, "visual", "(batch, visual)", {0: ("batch", batch), 1: ("visual", acc.shape[1])})
    dtype(visual, "visual", torch.int32)
    if lse is not None:
        axes = "(batch, heads, rows)"
        shape(lse, "lse", axes, {0: ("batch", batch), 1: ("heads", n_heads), 2: ("rows", n_rows)})
        dtype(lse, "lse", torch.float32)
    if key_range is not None:
        shape(key_range, "key_range", "(batch, 2)", {0: ("batch", batch), 1: ("width", 2)})
        dtype(key_range, "key_range", torch.int32)
    read = {"q": q, "k": k, "lse": lse, "heads": heads, "text_rows": text_rows, "visual": visual}
    for name, t in {"acc": acc, **read, "key_range": key_range}.items():
        if t is not None:
            rows(t, name)
            same_device(t, name, acc, "acc")
    finite(scale, "scale")
    finite(weight, "weight")

    below(visual, "visual", "the number of keys", k.shape[2])
    if readable(heads):
        for head in heads.tolist():
            require(0 <= head < n_heads, f"heads must lie in 0..{n_heads - 1}, got {head}")
    if key_range is not None and readable(key_range):
        for b, (first, past) in enumerate(key_range.tolist()):
            sound = 0 <= first <= past <= k.shape[2]
            require(sound, f"key_range must be (first, past) within 0..{k.shape[2]}, got ({first}, {past}) at {b}")
