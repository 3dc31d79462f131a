"""A similarity on its way out of a worker, as tokens: the one thing that every engine, executor and runner hands back.

45 bits, the lowest first, in digits of as many bits as the vocabulary has room for: an f32, twelve that follow from it,
so that words that a model wrote by itself are not taken for a similarity, and one that says there is none.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import torch

VALUE, CHECK = 32, 12
BITS = VALUE + CHECK + 1
# No similarity: the steps were scored in part only, since the engine began the request anew. It is the highest bit that
# says so: what was told in part before that, and ends in the tokens of this, is none either.
LOST = -1.0
_LOW = (1 << VALUE) - 1


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
    value = similarity.float().contiguous().view(torch.int32).long() & _LOW
    whole = value | (_check(value) << VALUE) | ((similarity == LOST).long() << (VALUE + CHECK))
    shifts = torch.arange(tokens_needed(vocab_size), device=similarity.device) * bits
    return (whole[:, None] >> shifts) & ((1 << bits) - 1)


def heard(tokens: Sequence[int], vocab_size: int) -> float:
    """The similarity that was told, LOST or NaN too. Raises ValueError for tokens that tell none."""
    bits = bits_per_token(vocab_size)
    whole = sum(token << (bits * place) for place, token in enumerate(tokens))
    value, check = whole & _LOW, (whole >> VALUE) & ((1 << CHECK) - 1)
    fits = len(tokens) == tokens_needed(vocab_size) and all(0 <= token < 1 << bits for token in tokens)
    if fits and whole >> (VALUE + CHECK) == 1:
        return LOST
    similarity = float(struct.unpack("<f", struct.pack("<I", value))[0])
    if not fits or whole >> (VALUE + CHECK) or check != _check(value) or not _can_be(similarity):
        raise ValueError(f"{list(tokens)[:8]} tells no similarity: the engine's processor did not write it")
    return similarity


def _can_be(similarity: float) -> bool:
    """Whether it is the cosine of two directions without negative parts, but for rounding, or NaN."""
    return math.isnan(similarity) or 0.0 <= similarity <= 1.001


def _check(value: Any) -> Any:
    """Twelve bits that follow from 32, of an int or of i64 tensors; not those of zero from zero."""
    return ((((value ^ 0x5BD1E995) * 0x9E3779B1) & _LOW) >> (VALUE - CHECK)) & ((1 << CHECK) - 1)
