"""Whether a peer answers as ours does. A benchmark that times a wrong answer is worthless: a mismatch ends the run.

Two results agree where every element differs by at most ``tolerance (|ours| + rms(ours))``: relative for what is large,
and for what is small relative to the rest. Zeros never pass, whatever the scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ras_ext.errors import RasExtError


class DisagreementError(RasExtError):
    """A peer's result is not ours."""


def check(name: str, theirs: Sequence[Tensor], ours: Sequence[Tensor], tolerance: float) -> None:
    """Compares results one by one.

    Args:
        name: of the peer and the case, for the message.
        theirs, ours: the same number of tensors of the same shapes.
        tolerance: relative, below one half.

    Raises:
        DisagreementError: they differ, or either is not finite.
    """
    if len(theirs) != len(ours):
        raise DisagreementError(f"{name} gives {len(theirs)} results, ours {len(ours)}; it would be no comparison")
    for place, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their.shape != our.shape:
            raise DisagreementError(
                f"result {place} of {name} has shape {tuple(their.shape)}, ours {tuple(our.shape)}; it was not timed"
            )
        a, b = their.double(), our.double()
        allowed = tolerance * (b.abs() + b.square().mean().sqrt())
        excess = (a - b).abs() - allowed
        if not bool((excess <= 0).all()):  # NaN is not <= 0
            apart = ((a - b).abs() / allowed).nan_to_num(torch.inf).max().item() * tolerance
            raise DisagreementError(
                f"result {place} of {name} differs from ours by {apart:.2g} where {tolerance:.2g} is allowed; "
                "a wrong answer is not timed, mend whichever is wrong"
            )
