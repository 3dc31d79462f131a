"""What was found of requests already seen, so that the same image and question need not be judged twice."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ras_ext.conversation import Request


class Found(NamedTuple):
    """What stages 1 and 2 found of one request; similarity and risk stay on the model's device, shape ()."""

    similarity: torch.Tensor
    risk: torch.Tensor
    visual_context: str


class Memory:
    """The last `size` requests and what was found of them; 0 remembers nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: OrderedDict[str, Found] = OrderedDict()

    def recall(self, requests: Sequence[Request]) -> tuple[torch.Tensor, torch.Tensor, list[str]] | None:
        """Similarity ``(B,)``, risk ``(B,)`` and visual contexts of a batch, if every request of it is known."""
        if not self._size:
            return None
        keys = [_key(request) for request in requests]
        if any(key not in self._found for key in keys):
            return None
        for key in keys:
            self._found.move_to_end(key)
        rows = [self._found[key] for key in keys]
        similarity, risk = (torch.stack(values) for values in ([r.similarity for r in rows], [r.risk for r in rows]))
        return similarity, risk, [row.visual_context for row in rows]

    def keep(
        self, requests: Sequence[Request], similarity: torch.Tensor, risk: torch.Tensor, contexts: Sequence[str]
    ) -> None:
        """Remember a batch; what was not asked for the longest time is forgotten."""
        if not self._size:
            return
        for request, s, r, context in zip(requests, similarity, risk, contexts, strict=True):
            key = _key(request)
            self._found[key] = Found(s.clone(), r.clone(), context)
            self._found.move_to_end(key)
        while len(self._found) > self._size:
            self._found.popitem(last=False)


def _key(request: Request) -> str:
    """The same for the same words and the same pixels, whatever file they came from."""
    digest = hashlib.sha256(json.dumps(request.messages, sort_keys=True, default=repr).encode())
    for image in request.images:
        digest.update(f"{image.mode} {image.size} ".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()
