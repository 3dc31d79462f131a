"""The method as it is usually run: one request at a time, a whole prompt for each stage, the risk the host's number.

Plain torch and transformers on the same prompts, prototypes and thresholds; no operator of ours.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ras_ext import SteeringVectors, models
from ras_ext.conversation import Request
from ras_ext.generation import GREEDY, Answer, answer, decode, generate
from ras_ext.reformulate import looking, reformulate


class ThreePrefills:
    """Answers a batch request by request."""

    def __init__(self, model: Any, processor: Any, vectors: SteeringVectors) -> None:
        self.model, self.processor, self.vectors = model, processor, vectors
        self.norm = models.read(model).final_norm
        self.mixture = vectors.prototype_mixture.float().to(model.device)
        self.prototypes = vectors.prototypes.to(model.device, model.dtype)

    def answer(self, requests: list[Request], *, max_new_tokens: int, **settings: Any) -> list[Answer]:
        """One after the other."""
        return [self._one(request, max_new_tokens, settings) for request in requests]

    def _one(self, request: Request, max_new_tokens: int, settings: dict[str, Any]) -> Answer:
        prompts = self.vectors.prompts
        limit = {**GREEDY, "max_new_tokens": prompts.max_context_tokens}
        rows, width = generate(self.model, self.processor, looking([request], prompts), **limit)
        context = decode(self.model, self.processor, rows[:, width:])[0].text
        risk = self._risk(reformulate(request, context, prompts))
        step = 0

        def pull(_module: Any, _args: Any, state: torch.Tensor) -> torch.Tensor:
            nonlocal step
            if step < len(self.vectors.doses):
                dose = risk * self.vectors.doses[step]
                state[:, -1] += dose * (self.prototypes[step] - state[:, -1])
            step += 1
            return state

        handle = self.norm.register_forward_hook(pull)
        try:
            return answer(self.model, self.processor, [request], max_new_tokens=max_new_tokens, **settings)[0]
        finally:
            handle.remove()

    def _risk(self, judged: Request) -> float:
        steps = self.vectors.n_score
        settings = {**GREEDY, "max_new_tokens": steps, "output_logits": True, "return_dict_in_generate": True}
        found, _ = generate(self.model, self.processor, [judged], **settings)
        weights = [self.vectors.gamma**n for n in range(len(found.logits))]
        mixed = sum(
            weight * torch.softmax(logits[0].float(), -1) for weight, logits in zip(weights, found.logits, strict=True)
        )
        similarity = torch.nn.functional.cosine_similarity(mixed, self.mixture, dim=0).item()
        return 1 / (1 + math.exp(-self.vectors.alpha * (similarity - self.vectors.s_base)))
