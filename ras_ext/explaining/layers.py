"""How well each layer tells safe from unsafe requests, and what visual context and safety prompt add to that.

FDR(l) = (μ_s − μ_u)ᵀ (Σ_s + Σ_u + εI)⁻¹ (μ_s − μ_u), Fisher's discriminant ratio of the states at the last prompt token
(arXiv 2510.13698). With fewer requests than dimensions the covariances are singular and ε decides much, so it is tied
to their scale: ε = ridge · tr(Σ_s + Σ_u) / D. Ratios compare conditions on one data set, never two data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ras_ext import models
from ras_ext.conversation import Request
from ras_ext.errors import CalibrationError, InputError
from ras_ext.explaining.decoder import Decoder, encoded, prefill
from ras_ext.items import Item
from ras_ext.prompts import Prompts
from ras_ext.reformulate import reformulate, visual_contexts

CONDITIONS = ("original", "visual context", "safety prompt", "both")
RIDGE = 0.1


@dataclass(frozen=True)
class Separation:
    """Fisher's ratio by condition and layer.

    Attributes:
        ratio: condition → ``n_layers + 1`` numbers, from what enters the first layer to what leaves the last norm.
        n_safe, n_unsafe, ridge: what they were computed from.
    """

    ratio: dict[str, tuple[float, ...]]
    n_safe: int
    n_unsafe: int
    ridge: float

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def layer_separation(
    model: Any,
    processor: Any,
    items: Sequence[Item],
    prompts: Prompts,
    *,
    ridge: float = RIDGE,
    batch_size: int = 16,
    progress: Any = None,
) -> Separation:
    """The ratio of every layer under four conditions: the request as put, with visual context, safety prompt, both.

    Args:
        items: labelled requests, two of each label at least.
        prompts: of the defence; the visual contexts are written by the model.
        ridge: ε over the mean variance of a dimension, above 0.
        progress: called with (stage, done, total).

    Raises:
        InputError: a label has fewer than two requests, or `ridge` is not above 0.
        CalibrationError: the model's states are not finite.
    """
    unsafe = torch.tensor([item.label == "unsafe" for item in items], dtype=torch.bool)
    n_unsafe, n_safe = int(unsafe.sum()), int((~unsafe).sum())
    if min(n_unsafe, n_safe) < 2:
        raise InputError(
            f"the ratio needs two requests of each label, got {n_unsafe} unsafe and {n_safe} safe; give more"
        )
    if not ridge > 0:
        raise InputError(f"ridge must be above 0, got {ridge}; {RIDGE} is usual")
    parts = models.read(model)
    decoder = Decoder(parts)
    states: dict[str, list[torch.Tensor]] = {condition: [] for condition in CONDITIONS}
    for start in range(0, len(items), batch_size):
        requests = [item.request() for item in items[start : start + batch_size]]
        contexts = visual_contexts(model, processor, requests, prompts)
        for condition, asked in conditions(requests, contexts, prompts).items():
            states[condition].append(last_states(decoder, processor, asked))
        if progress:
            progress("layers", start + len(requests), len(items))
    ratio = {}
    for condition, found in states.items():
        layers = torch.cat(found, 1)
        if not bool(torch.isfinite(layers).all()):
            raise CalibrationError("the model's states are not finite; load it in bfloat16 or float32")
        ratio[condition] = tuple(fisher_ratio(layer[~unsafe], layer[unsafe], ridge) for layer in layers)
    return Separation(ratio, n_safe, n_unsafe, ridge)


def conditions(requests: Sequence[Request], contexts: Sequence[str], prompts: Prompts) -> dict[str, list[Request]]:
    """The requests under each of :data:`CONDITIONS`."""
    silent = replace(prompts, safety="")
    pairs = list(zip(requests, contexts, strict=True))
    return {
        "original": list(requests),
        "visual context": [reformulate(request, context, silent) for request, context in pairs],
        "safety prompt": [reformulate(request, "", prompts) for request in requests],
        "both": [reformulate(request, context, prompts) for request, context in pairs],
    }


def last_states(decoder: Decoder, processor: Any, requests: Sequence[Request]) -> torch.Tensor:
    """The states of each prompt's last token at every layer, ``(n_layers + 1, B, D)`` f32 on the CPU."""
    found: list[torch.Tensor] = []
    # Prompts are padded on the left: the last column is every row's last token.
    with decoder.tapped(range(len(decoder.layers) + 1), lambda _, states: found.append(states[:, -1].float().cpu())):
        prefill(decoder.parts, encoded(decoder.parts, processor, requests))
    return torch.stack(found)


def fisher_ratio(safe: torch.Tensor, unsafe: torch.Tensor, ridge: float = RIDGE) -> float:
    """FDR of states ``(n, D)``, covariances by n − 1, in f64; 0 where all states of both kinds are one.

    Solved in the space of the requests, (XᵀX + εI)⁻¹ d = (d − Xᵀ (XXᵀ + εI)⁻¹ X d) / ε, since D may be thousands.
    """
    kinds = [kind.double() for kind in (safe, unsafe)]
    gap = kinds[0].mean(0) - kinds[1].mean(0)
    x = torch.cat([(kind - kind.mean(0)) / (len(kind) - 1) ** 0.5 for kind in kinds])
    epsilon = ridge * float(x.square().sum()) / x.shape[1]
    if epsilon == 0:
        return 0.0 if not bool(gap.any()) else float("inf")
    gram = x @ x.T + epsilon * torch.eye(len(x), dtype=x.dtype)
    inside = x.T @ torch.linalg.solve(gram, x @ gap)
    return float(gap @ (gap - inside) / epsilon)
