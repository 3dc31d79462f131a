"""A similarity on its way out of a worker, as tokens: the one thing that every engine, executor and runner hands back.

28 bits, the lowest first, in digits of as many bits as the vocabulary has room for: the similarity in 16, eleven that
follow from it, so that words that a model wrote by itself are not taken for one, and one that says there is none.
Two tokens of a vocabulary of 32,000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

VALUE, CHECK = 16, 11
BITS = VALUE + CHECK + 1
ONE = (1 << VALUE) - 2  # what a similarity of 1 is told as; so it is told to within STEP / 2
STEP = 1 / ONE
_NAN = ONE + 1
# No similarity: the steps were scored in part only, since the engine began the request anew. It is the highest bit that
# says so: what was told in part before that, and ends in the tokens of this, is none either.
LOST = -1.0


def bits_per_token(vocab_size: int) -> int:
    """How much one token of a vocabulary tells. Raises ValueError for one of less than two."""
    if vocab_size < 2:
        raise ValueError(f"a vocabulary of {vocab_size} tells nothing")
    return min(vocab_size.bit_length() - 1, BITS)


def tokens_needed(vocab_size: int) -> int:
    return -(-BITS // bits_per_token(vocab_size))


def tell(similarity: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """The tokens ``(B, T)`` i64 that tell similarities ``(B,)``, where they are; LOST and NaN among them."""
    bits = bits_per_token(vocab_size)
    value = torch.where(similarity.isnan(), float(_NAN), (similarity.double().clamp(0.0, 1.0) * ONE).round()).long()
    whole = value | (_check(value) << VALUE) | ((similarity == LOST).long() << (VALUE + CHECK))
    shifts = torch.arange(tokens_needed(vocab_size), device=similarity.device) * bits
    return (whole[:, None] >> shifts) & ((1 << bits) - 1)


def heard(tokens: Sequence[int], vocab_size: int) -> float:
    """The similarity that was told, LOST or NaN too. Raises ValueError for tokens that tell none."""
    bits = bits_per_token(vocab_size)
    whole = sum(token << (bits * place) for place, token in enumerate(tokens))
    value, check, flags = whole & ((1 << VALUE) - 1), (whole >> VALUE) & ((1 << CHECK) - 1), whole >> (VALUE + CHECK)
    fits = len(tokens) == tokens_needed(vocab_size) and all(0 <= token < 1 << bits for token in tokens)
    if fits and flags == 1:
        return LOST
    if not fits or flags or check != _check(value):
        raise ValueError(f"{list(tokens)[:8]} tells no similarity: the engine's processor did not write it")
    return math.nan if value == _NAN else value / ONE


def _check(value: Any) -> Any:
    """Eleven bits that follow from a value, of an int or of i64 tensors; not those of zero from zero."""
    return ((((value ^ 0x5BD1) * 0x9E3779B1) & 0xFFFFFFFF) >> (32 - CHECK)) & ((1 << CHECK) - 1)
