"""How far the answers of two carriers are apart, as long as they have written the same."""

from __future__ import annotations

from typing import Any

import torch


def apart(a: Any, b: Any) -> float:
    """The largest difference of two answers' logits, in parts of the largest logit of their step.

    Args:
        a, b: what ``generate`` returns, with ``logits``; of ``scores`` those, where a logits processor was at work.

    Two logits that are all but equal may be taken in either order: what a row writes after that is another answer's.
    """
    found = []
    width = a.sequences.shape[1] - len(a.logits)
    for step, (x, y) in enumerate(zip(a.logits, b.scores or b.logits, strict=True)):
        until = slice(width, width + step)
        same = (a.sequences[:, until] == b.sequences[:, until]).all(1)
        found.append((torch.where(same[:, None], x - y, 0).abs().max() / x.abs().max()).item())
    return max(found)
