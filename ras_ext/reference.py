"""The compiled operators' mathematics in plain torch: what they are tested against, and what serves without them.

Same arguments, same writing in place, same results at the edges; computed in float32, or in float64 where an argument
is float64. Static shapes and no host synchronisation outside the CPU, so it can be compiled and captured.
Formulas: arXiv 2510.13698 (score and steering), and the pooling described in the documentation's method page.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ras_ext import contract


def _wide(*tensors: Tensor | None) -> torch.dtype:
    found = any(t is not None and t.dtype == torch.float64 for t in tensors)
    return torch.float64 if found else torch.float32


def steer_(x: Tensor, rows: Tensor, prototypes: Tensor, slot: Tensor, step: Tensor, risk: Tensor) -> None:
    """See `ras_ext.ops.steer_`."""
    contract.shape(x, "x", "(rows, hidden)")
    contract.floating(x, "x")
    contract.rows(x, "x")
    contract.steering(x, "x", rows, prototypes, slot, step, risk)
    _steer(x, rows, prototypes, slot, step, risk)


def _steer(x: Tensor, rows: Tensor, prototypes: Tensor, slot: Tensor, step: Tensor, risk: Tensor) -> None:
    n_rows, n_steps = x.shape[0], prototypes.shape[1]
    active = (rows >= 0) & (slot >= 0) & (step >= 0) & (step < n_steps) & (risk != 0)
    if contract.readable(rows):
        named, times = rows[active].unique(return_counts=True)
        twice = named[times > 1].tolist()
        contract.require(not twice, f"rows must name each row at most once, got row {(twice or [0])[0]} twice")
    if not (x.numel() and rows.numel() and prototypes.numel()):
        return
    # Which entry of the batch steers a row: place 0 collects the inactive ones, -1 marks the rows nobody names.
    place = torch.where(active, rows.long() + 1, 0)
    entry = torch.full((n_rows + 1,), -1, dtype=torch.int64, device=x.device)
    entry = entry.scatter(0, place, torch.arange(rows.shape[0], device=x.device))[1:]
    named, entry = (entry >= 0).unsqueeze(1), entry.clamp(min=0)

    wide = _wide(x, prototypes, risk)
    target = prototypes[slot.long().clamp(min=0)[entry], step.long().clamp(0, n_steps - 1)[entry]].to(wide)
    dose = torch.where(risk.isfinite(), risk, 1.0)[entry].to(wide).unsqueeze(1)
    steered = torch.where(dose == 1, target, (1 - dose) * x.to(wide) + dose * target)
    x.copy_(torch.where(named, steered.to(x.dtype), x))


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
    """See `ras_ext.ops.add_rms_norm_steer_`."""
    axes = "(rows, hidden)"
    contract.shape(x, "x", axes)
    like_x = {0: ("rows", x.shape[0]), 1: ("hidden", x.shape[1])} if x.ndim == 2 else None
    for t, name in ((x, "x"), (out, "out"), (residual, "residual")):
        if t is not None:
            contract.shape(t, name, axes, like_x)
            contract.floating(t, name)
            contract.rows(t, name)
            contract.same_device(t, name, x, "x")
    contract.shape(weight, "weight", "(hidden,)", {0: ("hidden", x.shape[1])})
    contract.floating(weight, "weight")
    contract.rows(weight, "weight")
    contract.same_device(weight, "weight", x, "x")
    contract.not_negative(eps, "eps")
    contract.steering(out, "out", rows, prototypes, slot, step, risk)

    wide = _wide(out, x, residual, weight)
    if residual is not None:
        residual.copy_(residual.to(wide) + x.to(wide))
        x = residual
    carried = x.to(wide)
    inverse = 1 / torch.sqrt(carried.square().mean(dim=1, keepdim=True) + eps)
    out.copy_(carried * inverse * weight.to(wide))
    _steer(out, rows, prototypes, slot, step, risk)


def risk_score(
    logits: Tensor, length: Tensor, prototype: Tensor, gamma: float, alpha: float, s_base: float
) -> tuple[Tensor, Tensor]:
    """See `ras_ext.ops.risk_score`."""
    axes = "(batch, steps, vocabulary)"
    contract.shape(logits, "logits", axes)
    contract.floating(logits, "logits")
    contract.rows(logits, "logits")
    contract.require(
        logits.shape[2] > 0, f"logits must be {axes} with a vocabulary of at least 1, got {tuple(logits.shape)}"
    )
    contract.shape(length, "length", "(batch,)", {0: ("batch", logits.shape[0])})
    contract.dtype(length, "length", torch.int32)
    contract.rows(length, "length")
    contract.same_device(length, "length", logits, "logits")
    contract.shape(prototype, "prototype", "(vocabulary,)", {0: ("vocabulary", logits.shape[2])})
    contract.dtype(prototype, "prototype", torch.float32)
    contract.rows(prototype, "prototype")
    contract.same_device(prototype, "prototype", logits, "logits")
    contract.not_negative(gamma, "gamma")
    contract.finite(alpha, "alpha")
    contract.finite(s_base, "s_base")
    steps = logits.shape[1]
    if contract.readable(length):
        for b, real in enumerate(length.tolist()):
            contract.require(0 <= real <= steps, f"length must lie in 0..{steps}, got {real} at {b}")

    wide = _wide(logits, prototype)
    n = torch.arange(steps, device=logits.device)
    decay = (torch.full((), gamma, dtype=torch.float64, device=logits.device) ** n).to(wide)
    real_step = (n < length.unsqueeze(1)).unsqueeze(2)
    shares = torch.where(real_step, decay.view(1, -1, 1) * torch.softmax(logits.to(wide), dim=2), 0.0)
    mixture, target = shares.sum(dim=1), prototype.to(wide)
    similarity = (mixture * target).sum(dim=1) / (mixture.norm(dim=1) * target.norm())
    similarity = torch.where(similarity.isfinite(), similarity.clamp(-1, 1), torch.nan)
    answered = length > 0
    risk = torch.sigmoid(alpha * (similarity - s_base))
    risk = torch.where(answered & ~similarity.isnan(), risk, 1.0)
    return torch.where(answered, similarity, 0.0), risk


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
    """See `ras_ext.ops.region_risk`."""
    axes = "(batch, tokens, hidden)"
    contract.shape(hidden, "hidden", axes)
    contract.floating(hidden, "hidden")
    contract.rows(hidden, "hidden")
    contract.require(
        hidden.shape[2] > 0, f"hidden must be {axes} with a hidden size of at least 1, got {tuple(hidden.shape)}"
    )
    batch, tokens, width = hidden.shape
    for t, name, wanted in ((attention, "attention", torch.float32), (region, "region", torch.int32)):
        contract.shape(t, name, "(batch, tokens)", {0: ("batch", batch), 1: ("tokens", tokens)})
        contract.dtype(t, name, wanted)
        contract.rows(t, name)
        contract.same_device(t, name, hidden, "hidden")
    for vector, name in ((direction, "direction"), (center, "center")):
        if vector is not None:
            contract.shape(vector, name, "(hidden,)", {0: ("hidden", width)})
            contract.dtype(vector, name, torch.float32)
            contract.rows(vector, name)
            contract.same_device(vector, name, hidden, "hidden")
    contract.finite(slope, "slope")
    contract.finite(bias, "bias")
    contract.require(n_regions >= 0, f"n_regions must not be negative, got {n_regions}")
    contract.below(region, "region", "n_regions", n_regions)

    wide = _wide(attention, hidden, direction, center)
    h = hidden.to(wide) if center is None else hidden.to(wide) - center.to(wide)
    toward = direction.to(wide)
    along, norm, norm_toward = (h * toward).sum(dim=2), h.norm(dim=2), toward.norm()
    without_direction = (norm == 0) | (norm_toward == 0)
    cosine = torch.where(without_direction, 0.0, along / (norm * norm_toward)).clamp(-1, 1)
    sound = along.isfinite() & norm.isfinite() & norm_toward.isfinite()
    token = torch.where(sound, torch.sigmoid(slope * (cosine - bias)), 1.0)

    member = region.unsqueeze(2) == torch.arange(n_regions, device=hidden.device)
    weight = attention.to(wide).unsqueeze(2)
    mass = torch.where(member, weight, 0.0).sum(dim=1)
    weighted = torch.where(member, weight * token.unsqueeze(2), 0.0).sum(dim=1)
    return mass, _pooled(weighted, mass), _pooled(weighted.sum(dim=1), mass.sum(dim=1))


def _pooled(weighted: Tensor, mass: Tensor) -> Tensor:
    """Weighted mean; 0 where there is no weight, 1 where it is no finite number."""
    risk = weighted / mass
    risk = torch.where(risk.isfinite(), risk, 1.0)
    return torch.where((mass == 0) & (weighted == 0), 0.0, risk)


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
    """See `ras_ext.ops.attention_peak_`. Unlike the compiled operator it writes the attention matrix of `heads`."""
    contract.attention_peak(acc, q, k, lse, heads, text_rows, visual, key_range, scale, weight)
    n_rows, n_keys = q.shape[2], k.shape[2]
    if not (acc.numel() and heads.numel() and n_rows and n_keys):
        return
    wide = _wide(acc, q, k, lse)
    head = heads.long()
    kv_head = head // (q.shape[1] // k.shape[1])
    scores = q[:, head].to(wide) @ k[:, kv_head].to(wide).transpose(2, 3) * scale

    key = torch.arange(n_keys, device=q.device)
    row = torch.arange(n_rows, device=q.device).unsqueeze(1)
    reach = min(max(causal_offset, -n_rows), n_keys)
    sees = (key <= row + reach).expand(q.shape[0], 1, n_rows, n_keys)
    if key_range is not None:
        first, past = key_range.view(-1, 2, 1, 1, 1).unbind(1)
        sees = sees & (key >= first) & (key < past)
    if lse is None:
        norm = scores.masked_fill(~sees, -torch.inf).logsumexp(dim=3)
        norm = torch.where(norm == torch.inf, torch.nan, norm)  # as softmax has it: an infinite score breaks the row
    else:
        norm = lse[:, head].to(wide)

    column = visual.long().clamp(min=0).view(visual.shape[0], 1, 1, -1)
    at_column = scores.gather(3, column.expand(-1, head.shape[0], n_rows, -1)) - norm.unsqueeze(3)
    counted = sees.gather(3, column.expand(-1, 1, n_rows, -1)) & text_rows.view(text_rows.shape[0], 1, -1, 1)
    peak = torch.where(counted, at_column, -torch.inf).amax(dim=2)
    raised = acc + weight * peak.exp().sum(dim=1)
    acc.copy_(torch.where(visual >= 0, raised, acc))
