"""The operators as a careful user composes them in torch: what ours are compared with, and what torch.compile is given.

Same arguments as the operators, with indices as int64, torch's own index type. No argument checks and none of the
operators' special cases (broken risks, padded rows): a composition that does less is the harder one to beat. Each
returns what the operator returns or writes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # its usual name


def steer_(x: Tensor, rows: Tensor, prototypes: Tensor, slot: Tensor, step: Tensor, risk: Tensor) -> tuple[Tensor]:
    """Gather, interpolate, put back; in the type of `x`, as a model's own code would."""
    x[rows] = torch.lerp(x[rows], prototypes[slot, step], risk[:, None].to(x.dtype))
    return (x,)


def add_rms_norm_steer_(
    out: Tensor,
    x: Tensor,
    residual: Tensor,
    weight: Tensor,
    eps: float,
    rows: Tensor,
    prototypes: Tensor,
    slot: Tensor,
    step: Tensor,
    risk: Tensor,
) -> tuple[Tensor, Tensor]:
    """torch's own norm, then the steering; `out` is not filled, the norm's result stands for it."""
    residual.add_(x)
    normed = F.rms_norm(residual, (x.shape[1],), weight, eps)
    steer_(normed, rows, prototypes, slot, step, risk)
    return normed, residual


def llama_norm_steer(
    out: Tensor,
    x: Tensor,
    residual: Tensor,
    weight: Tensor,
    eps: float,
    rows: Tensor,
    prototypes: Tensor,
    slot: Tensor,
    step: Tensor,
    risk: Tensor,
) -> tuple[Tensor, Tensor]:
    """The norm as LLaMA's modelling code has it, in float32 with the weight applied after rounding."""
    residual.add_(x)
    wide = residual.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    normed = weight * wide.to(x.dtype)
    steer_(normed, rows, prototypes, slot, step, risk)
    return normed, residual


def _decay(logits: Tensor, length: Tensor, gamma: float) -> Tensor:
    n = torch.arange(logits.shape[1], device=logits.device)
    return gamma**n * (n < length[:, None])


def _scored(mixture: Tensor, prototype: Tensor, alpha: float, s_base: float) -> tuple[Tensor, Tensor]:
    similarity = F.cosine_similarity(mixture, prototype[None], dim=-1)
    return similarity, torch.sigmoid(alpha * (similarity - s_base))


def risk_score(
    logits: Tensor, length: Tensor, prototype: Tensor, gamma: float, alpha: float, s_base: float
) -> tuple[Tensor, Tensor]:
    """The weighted sum over steps as a batched product, the quickest way in eager torch."""
    shares = logits.softmax(-1, dtype=torch.float32)
    mixture = torch.bmm(_decay(logits, length, gamma)[:, None], shares)[:, 0]
    return _scored(mixture, prototype, alpha, s_base)


def risk_score_fusable(
    logits: Tensor, length: Tensor, prototype: Tensor, gamma: float, alpha: float, s_base: float
) -> tuple[Tensor, Tensor]:
    """The weighted sum as elementwise work, which a compiler can fuse where it cannot fuse a product of matrices."""
    shares = logits.softmax(-1, dtype=torch.float32)
    mixture = (_decay(logits, length, gamma)[:, :, None] * shares).sum(1)
    return _scored(mixture, prototype, alpha, s_base)


def region_risk(
    attention: Tensor,
    hidden: Tensor,
    direction: Tensor,
    center: Tensor,
    slope: float,
    bias: float,
    region: Tensor,
    n_regions: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cosine, sigmoid, and two scatters into the regions."""
    cosine = F.cosine_similarity(hidden - center, direction, dim=-1)  # promoted to float32 by the center
    weighted = attention * torch.sigmoid(slope * (cosine - bias))
    empty = attention.new_zeros(attention.shape[0], n_regions)
    mass = empty.scatter_add(1, region, attention)
    risk = empty.scatter_add(1, region, weighted) / mass.clamp_min(1e-12)
    return mass, risk, weighted.sum(1) / attention.sum(1)


def attention_peak_(
    acc: Tensor,
    q: Tensor,
    k: Tensor,
    lse: None,
    heads: Tensor,
    text_rows: Tensor,
    visual: Tensor,
    key_range: None,
    scale: float,
    weight: float,
    causal_offset: int,
) -> tuple[Tensor]:
    """The attention of the chosen heads written out, then the maximum over rows and the sum over heads.

    The sum is taken before the visual columns are picked: that gathers the fewest elements.
    """
    rows, keys = q.shape[2], k.shape[2]
    scores = (q[:, heads] * scale) @ k[:, heads // (q.shape[1] // k.shape[1])].transpose(2, 3)
    sees = torch.ones(rows, keys, dtype=torch.bool, device=q.device).tril(causal_offset)
    shares = scores.masked_fill(~sees, -torch.inf).softmax(-1, dtype=torch.float32)
    peak = shares.masked_fill(~text_rows[:, None, :, None], 0.0).amax(2).sum(1)
    acc.add_(peak.gather(1, visual), alpha=weight)
    return (acc,)
