"""The operators: compiled where an implementation for the tensors' device is loaded, plain torch elsewhere.

Importing this module loads the compiled library and registers ``torch.ops.ras_ext.*``. Operators whose name ends in an
underscore write into their first argument and return nothing. All of them run inside ``torch.compile(fullgraph=True)``
without a graph break or a copy, have no gradient, and read everything that changes from step to step (rows, slot,
step, risk, length) from tensors, so that a captured CUDA graph stays valid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ras_ext import compiled, reference

__all__ = [
    "add_rms_norm_steer_",
    "attention_peak_",
    "attention_risk_pool",
    "region_risk",
    "risk_score",
    "steer_",
]

compiled.load()


# Asked once while a graph is traced: which implementation serves does not change within a process.
@torch.compiler.assume_constant_result
def _serves(operator: str, device_type: str) -> bool:
    return compiled.serves(operator, device_type)


def _written(t: Tensor, name: str) -> None:
    if t.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(f"{name} is written to without a gradient; call this under torch.no_grad()")


def steer_(x: Tensor, rows: Tensor, prototypes: Tensor, slot: Tensor, step: Tensor, risk: Tensor) -> None:
    """Pulls rows of `x` toward a prototype: ``x[rows_b] = (1 - r_b) x[rows_b] + r_b prototypes[slot_b, step_b]``.

    Serves hidden states (prototypes of the state) and rows of logits (prototypes of the logits) alike. Computed in
    float32, rounded once to the type of `x`.

    Args:
        x: ``(T, D)`` float32, float16 or bfloat16, written in place; any row stride.
        rows: ``(B,)`` int32, the row each entry steers; each row at most once.
        prototypes: ``(P, N, D)`` float32, float16 or bfloat16.
        slot: ``(B,)`` int32, which of the P prototypes.
        step: ``(B,)`` int32, which of its N steps, counted from 0.
        risk: ``(B,)`` float32, the dose r.

    A row is left untouched, bit for bit, where its row, slot or step is negative, its step is N or more, or its risk
    is 0. At risk 1 it becomes the prototype, whatever it held. **A risk that is NaN or infinite counts as 1**: a broken
    estimate steers in full. Infinite values of `x` stay infinite for risks strictly between 0 and 1.

    Raises:
        RuntimeError: an argument does not fit, or a row or slot that does not exist or a row named twice is seen
            (on a CPU; a GPU cannot tell in time, and there a row or slot out of range stops the kernel).
    """
    _written(x, "x")
    if _serves("steer_", x.device.type):
        torch.ops.ras_ext.steer_.default(x, rows, prototypes, slot, step, risk)
    else:
        reference.steer_(x, rows, prototypes, slot, step, risk)


def add_rms_norm_steer_(
    out: Tensor,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    eps: float,
    rows: Tensor,
    prototypes: Tensor,
    slot: Tensor,
    step: Tensor,
    risk: Tensor,
) -> None:
    """A model's last norm with the steering inside: ``residual += x``, ``out = rms_norm(residual) weight``, `steer_`.

    Equal, bit for bit, to the norm alone (all rows negative) followed by `steer_` on `out`. The norm reads the
    residual as it was stored; the product with the weight is rounded once, to the type of `out`.

    Args:
        out: ``(T, D)`` float32, float16 or bfloat16, written; shares no memory with the others.
        x: ``(T, D)``, what the last layer adds.
        residual: ``(T, D)``, written, or ``None`` to norm `x` itself.
        weight: ``(D,)``.
        eps: added to the mean square.
        rows, prototypes, slot, step, risk: as for `steer_`.

    Raises:
        RuntimeError: an argument does not fit.
    """
    _written(out, "out")
    if residual is not None:
        _written(residual, "residual")
    arguments = (out, x, residual, weight, eps, rows, prototypes, slot, step, risk)
    if _serves("add_rms_norm_steer_", x.device.type):
        torch.ops.ras_ext.add_rms_norm_steer_.default(*arguments)
    else:
        reference.add_rms_norm_steer_(*arguments)


def risk_score(
    logits: Tensor, length: Tensor, prototype: Tensor, gamma: float, alpha: float, s_base: float
) -> tuple[Tensor, Tensor]:
    """How alike an answer's opening is to a refusal's, and the risk that follows (arXiv 2510.13698).

    ``S = cos(sum_n gamma^(n-1) softmax(z_n), prototype)`` over a row's first `length` steps, ``r = sigmoid(alpha (S -
    s_base))``.

    Args:
        logits: ``(B, N, V)`` float32, float16 or bfloat16; any strides with the vocabulary contiguous.
        length: ``(B,)`` int32, how many of the N steps are real, 0..N.
        prototype: ``(V,)`` float32, the prototypes' mixture of probabilities.
        gamma: decay from step to step, 0 or more.
        alpha: slope.
        s_base: similarity at which the risk is one half.

    Returns:
        similarity and risk, each ``(B,)`` float32.

    **Rows that cannot be judged have risk 1**: where NaN, +inf or nothing but -inf among a real step's logits (or a
    prototype without a direction) leaves no finite cosine, the similarity is NaN and the risk 1; a row of length 0 has
    similarity 0 and risk 1. Steps past `length` are not read.

    Raises:
        RuntimeError: an argument does not fit, or (on a CPU) a length lies outside 0..N; a GPU takes such a length as
            the nearest end.
    """
    if _serves("risk_score", logits.device.type):
        return torch.ops.ras_ext.risk_score.default(logits, length, prototype, gamma, alpha, s_base)
    return reference.risk_score(logits, length, prototype, gamma, alpha, s_base)


def region_risk(
    attention: Tensor,
    hidden: Tensor,
    direction: Tensor,
    center: Tensor | None,
    slope: float,
    bias: float,
    region: Tensor,
    n_regions: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Risk per image region: ``c_j = sigmoid(slope (cos(h_j - center, direction) - bias))`` pooled with the attention.

    Args:
        attention: ``(B, J)`` float32, the weight a_j of each visual token.
        hidden: ``(B, J, D)`` float32, float16 or bfloat16, the visual tokens' states.
        direction: ``(D,)`` float32, from safe to unsafe.
        center: ``(D,)`` float32 taken off the states first, or ``None``.
        slope, bias: of the sigmoid.
        region: ``(B, J)`` int32, the region of each token; negative: the token is left out.
        n_regions: how many regions R.

    Returns:
        mass ``(B, R)`` (sum of a_j), risk ``(B, R)`` (sum of a_j c_j over mass) and pooled ``(B,)`` (the same over all
        tokens), float32. Where there is no mass the risk is 0.

    A token without a direction (its state equals the center) has cosine 0. **A token whose cosine is no finite number
    has c_j = 1, and a region whose mean is none has risk 1**; its mass says what came.

    Raises:
        RuntimeError: an argument does not fit, or (on a CPU) a region is `n_regions` or more; a GPU leaves it out.
    """
    arguments = (attention, hidden, direction, center, slope, bias, region, n_regions)
    if _serves("region_risk", hidden.device.type):
        return torch.ops.ras_ext.region_risk.default(*arguments)
    return reference.region_risk(*arguments)


def attention_peak_(
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
    causal_offset: int,
) -> None:
    """Adds the strongest attention any text token pays to each visual token, summed over heads.

    ``acc[b, j] += weight * sum_{h in heads} max_{t in text rows} softmax(q k^T scale)[t, visual_j]``, where row t sees
    key s iff ``s <= t + causal_offset`` and s lies in the row's key range. The attention matrix is not written.

    Args:
        acc: ``(B, J)`` float32, added to in place.
        q: ``(B, Hq, T, d)`` float32, float16 or bfloat16, with rotary embedding applied.
        k: ``(B, Hkv, S, d)``, same type; Hkv divides Hq (grouped queries).
        lse: ``(B, Hq, T)`` float32, natural log of each row's sum of exponentials as the forward pass found it, or
            ``None`` to compute it.
        heads: ``(n,)`` int32, query heads; one named twice counts twice.
        text_rows: ``(B, T)`` bool, the rows the maximum runs over.
        visual: ``(B, J)`` int32, key positions of the visual tokens; negative: `acc` is left alone.
        key_range: ``(B, 2)`` int32, first and past-last real key of each row of the batch (padding), or ``None``.
        scale: of the scores, usually ``d ** -0.5``.
        weight: of this call, ``1 / n`` for a mean over heads.
        causal_offset: S - T for queries at the end of the keys; S or more for no causal mask; may be negative.

    Keys a row does not see have probability 0, as has everything for a row that sees no key. NaN among the scores of a
    row that counts goes into `acc`.

    Raises:
        RuntimeError: an argument does not fit, or (on a CPU) a head, visual position or key range lies outside.
    """
    _written(acc, "acc")
    arguments = (acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight, causal_offset)
    if _serves("attention_peak_", acc.device.type):
        torch.ops.ras_ext.attention_peak_.default(*arguments)
    else:
        reference.attention_peak_(*arguments)


def attention_risk_pool(
    q: Tensor,
    k: Tensor,
    hidden: Tensor,
    direction: Tensor,
    region: Tensor,
    n_regions: int,
    *,
    heads: Tensor,
    text_rows: Tensor,
    visual: Tensor,
    slope: float,
    bias: float,
    center: Tensor | None = None,
    lse: Tensor | None = None,
    key_range: Tensor | None = None,
    scale: float | None = None,
    causal_offset: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Attention-region risk pooling for one layer: `attention_peak_` averaged over `heads`, then `region_risk`.

    Args are those of the two; `scale` defaults to ``d ** -0.5``.

    Returns:
        attention ``(B, J)``, mass ``(B, R)``, risk ``(B, R)`` and pooled ``(B,)``, float32.

    Raises:
        RuntimeError: an argument does not fit.
    """
    attention = torch.zeros(visual.shape, dtype=torch.float32, device=q.device)
    weight = 1.0 / max(heads.shape[0], 1)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    attention_peak_(attention, q, k, lse, heads, text_rows, visual, key_range, scale, weight, causal_offset)
    return attention, *region_risk(attention, hidden, direction, center, slope, bias, region, n_regions)


def _register_fakes() -> None:
    """Output shapes without data, for tracing and meta tensors."""

    @torch.library.register_fake("ras_ext::risk_score")
    def _(logits, length, prototype, gamma, alpha, s_base):
        similarity = logits.new_empty((logits.shape[0],), dtype=torch.float32)
        return similarity, torch.empty_like(similarity)

    @torch.library.register_fake("ras_ext::region_risk")
    def _(attention, hidden, direction, center, slope, bias, region, n_regions):
        mass = hidden.new_empty((hidden.shape[0], n_regions), dtype=torch.float32)
        return mass, torch.empty_like(mass), hidden.new_empty((hidden.shape[0],), dtype=torch.float32)

    for name in ("attention_peak_", "steer_", "add_rms_norm_steer_"):
        torch.library.register_fake(f"ras_ext::{name}", lambda *arguments: None)


if compiled.load().cpu_ops:
    _register_fakes()
