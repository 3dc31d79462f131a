"""Whether the visual context earns its time: how the same requests are told apart with it and without."""

from __future__ import annotations

from typing import Any

import torch

from ras_ext.calibration.baseline import Baseline, similarities


def context_trade(model: Any, processor: Any, baseline: Baseline, **settings: Any) -> dict[str, Any] | None:
    """Shares of unsafe requests below S_base and of safe ones above it, with the context and without.

    ``needed`` is False where the safety prompt alone makes no more errors; None for requests without an image.
    """
    if not any(request.has_image for request in baseline.requests["unsafe"]):
        return None
    unsafe, safe = (
        similarities(model, processor, baseline.requests[label], look=False, **settings)[0]
        for label in ("unsafe", "safe")
    )
    with_context = _errors(baseline.unsafe, baseline.safe, baseline.s_base)
    without = _errors(unsafe, safe, baseline.s_base)
    needed = sum(without.values()) > sum(with_context.values())
    return {"needed": needed, "with": with_context, "without": without}


def _errors(unsafe: torch.Tensor, safe: torch.Tensor, s_base: float) -> dict[str, float]:
    return {
        "false_negatives": float((unsafe < s_base).float().mean()),
        "false_positives": float((safe > s_base).float().mean()),
    }
