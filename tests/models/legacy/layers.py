"""What both stand-ins are made of: rotated attention over a cache of tuples, and a norm of root mean squares."""

from __future__ import annotations

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


def rotate(x: torch.Tensor, positions: torch.Tensor, base: float = 1e4) -> torch.Tensor:
    """Rotary positions ``(B, T)`` on heads ``(B, H, T, d)``."""
    half = x.shape[-1] // 2
    speed = base ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = positions[:, None, :, None].to(x.dtype) * speed
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Causal attention of the last q positions over all k, ``(B, H, T, d)``; `mask` ``(B, S)`` says which are real."""
    queries, keys = q.shape[2], k.shape[2]
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    place = torch.arange(keys, device=q.device)
    seen = (place[None, :] <= place[keys - queries :, None])[None, None]
    if mask is not None:
        # Each place sees at least itself, so that padding stays finite.
        seen = seen & (mask[:, None, None, :].bool() | (place[None, :] == place[keys - queries :, None])[None, None])
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(~seen, torch.finfo(q.dtype).min)
    return weights.softmax(-1) @ v
