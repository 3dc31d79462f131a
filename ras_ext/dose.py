"""How much every row of a batch is pulled."""

from __future__ import annotations

import torch

from ras_ext.errors import InputError


def per_request(risk: torch.Tensor) -> torch.Tensor:
    """The risk as f32 ``(B,)``. Raises InputError for another shape."""
    if risk.ndim != 1 or risk.numel() == 0:
        raise InputError(f"risk must be one number per request, shape (B,), got {tuple(risk.shape)}")
    return risk.float()


def copies(risk: torch.Tensor, rows: int) -> int:
    """How many rows of a batch each request has: beams and return sequences stand side by side.

    Raises:
        InputError: the batch is not one of these requests.
    """
    number = rows // risk.numel()
    if not number or number * risk.numel() != rows:
        raise InputError(
            f"the defence was set for {risk.numel()} requests and the model runs {rows} rows; "
            "give one risk per request of the batch"
        )
    return number
