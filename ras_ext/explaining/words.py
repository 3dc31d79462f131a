"""Why a request's risk is what it is: the first words the model would say to it, beside those of its refusals.

S = Σ_i p_i q_i / (‖p‖ ‖q‖) over the vocabulary, with p = Σ_n γ^(n-1) softmax(z_n) of the reformulated request and q the
prototypes' mixture (arXiv 2510.13698). Each word has its share in that sum, so the few that decide it can be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from ras_ext.conversation import Request
from ras_ext.models import Parts
from ras_ext.reformulate import reformulate
from ras_ext.states import first_logits
from ras_ext.vectors import SteeringVectors

if TYPE_CHECKING:
    from ras_ext.guard import Guard

_MOST = 8


@dataclass(frozen=True)
class Word:
    """A token and its probability, or weight, in [0, 1]; ``share`` is its part of S, where it stands in a sum."""

    text: str
    asked: float
    refusing: float
    share: float


@dataclass(frozen=True)
class Step:
    """One of the scored tokens.

    Attributes:
        weight: γ^(n-1).
        asked: the likeliest tokens of the request with their probabilities; empty where its answer has ended.
        refusing: the same of the prototype.
    """

    weight: float
    asked: tuple[tuple[str, float], ...]
    refusing: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class FirstWords:
    """What the score compares.

    Attributes:
        similarity: S, which the words' shares add up to; NaN where the logits were not finite.
        words: those with the largest shares, then the heaviest of either side; weights are p and q over Σ γ^(n-1).
        rest: the part of S that all other words make up.
        steps: the same token by token.
    """

    similarity: float
    words: tuple[Word, ...]
    rest: float
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def first_words(guard: Guard, request: Request, visual_context: str, *, most: int = _MOST) -> FirstWords:
    """Judges a request once more, its visual context being known, and names the words that decide its similarity.

    Args:
        visual_context: what stage 1 found, as in :class:`ras_ext.risk.Risk`.
        most: how many words are named at most.
    """
    vectors = guard.vectors
    asked = reformulate(request, visual_context, vectors.prompts)
    logits, length = first_logits(guard.model, guard.processor, [asked], vectors.n_score)
    return compared(guard.parts, guard.processor, logits[0].cpu(), int(length[0]), vectors, most)


def compared(
    parts: Parts, processor: Any, logits: torch.Tensor, length: int, vectors: SteeringVectors, most: int = _MOST
) -> FirstWords:
    """The words of logits ``(N, V)`` with `length` real steps, beside those of the vectors' prototypes."""
    weights = vectors.gamma ** torch.arange(vectors.n_score, dtype=torch.float64)
    real = torch.softmax(logits[:length].double(), dim=-1)
    p = (weights[:length, None] * real).sum(0)
    q = vectors.prototype_mixture.double().cpu()
    shares = p * q / (p.norm() * q.norm()) if length else torch.zeros_like(q)  # as the op scores an empty answer
    total = float(weights.sum())
    named = _heaviest([shares, p, q], most)
    words = tuple(
        Word(_text(processor, token), float(p[token]) / total, float(q[token]) / total, float(shares[token]))
        for token in named
    )
    refusing = torch.softmax(parts.logits(vectors.prototypes[: vectors.n_score]).double().cpu(), dim=-1)
    steps = tuple(
        Step(
            float(weights[n]),
            _likeliest(processor, real[n]) if n < length else (),
            _likeliest(processor, refusing[n]),
        )
        for n in range(vectors.n_score)
    )
    similarity = float(shares.sum())
    return FirstWords(similarity, words, similarity - sum(word.share for word in words), steps)


def _heaviest(columns: Sequence[torch.Tensor], most: int) -> list[int]:
    """The largest entries of each column in turn, the first column's first, none twice; without those of no weight."""
    ranked = [column.nan_to_num().topk(min(most, column.numel())).indices.tolist() for column in columns]
    found: dict[int, None] = {}
    for place in range(most):
        for column, order in zip(columns, ranked, strict=True):
            if place < len(order) and column[order[place]] > 1e-4:
                found.setdefault(order[place])
    kept = list(found)[:most]
    return sorted(kept, key=lambda token: -float(columns[0][token]))


def _likeliest(processor: Any, probabilities: torch.Tensor, most: int = 3) -> tuple[tuple[str, float], ...]:
    values, tokens = probabilities.nan_to_num().topk(min(most, probabilities.numel()))
    return tuple(
        (_text(processor, token), value) for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
    )


def _text(processor: Any, token: int) -> str:
    """A token as text; one that decodes to nothing, such as an end mark, by its name in the vocabulary."""
    text = processor.tokenizer.decode([token]).strip()
    return text or str(processor.tokenizer.convert_ids_to_tokens(token))
