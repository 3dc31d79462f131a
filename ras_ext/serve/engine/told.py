"""A similarity on its way out of a worker, as tokens: the one thing that every engine, executor and runner hands back.

The 32 bits of an f32 are told in digits of as many bits as the vocabulary has room for, the lowest first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import torch

BITS = 32
# No similarity: the steps were scored in part only, since the engine began the request anew. Its two highest bits are
# set and the others not, so that its last tokens behind the first ones of any similarity make a negative number too.
LOST = -2.0


def bits_per_token(vocab_size: int) -> int:
    """How much one token of a vocabulary tells. Raises ValueError for one of less than two."""
    if vocab_size < 2:
        raise ValueError(f"a vocabulary of {vocab_size} tells nothing")
    return min(vocab_size.bit_length() - 1, BITS)


def tokens_needed(vocab_size: int) -> int:
    return -(-BITS // bits_per_token(vocab_size))


def tell(similarity: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """The tokens ``(B, T)`` i64 that tell f32 numbers ``(B,)``, where they are."""
    bits = bits_per_token(vocab_size)
    whole = similarity.float().contiguous().view(torch.int32).long() & 0xFFFFFFFF
    shifts = torch.arange(tokens_needed(vocab_size), device=similarity.device) * bits
    return (whole[:, None] >> shifts) & ((1 << bits) - 1)


def heard(tokens: Sequence[int], vocab_size: int) -> float:
    """The number that was told. Raises ValueError for tokens that tell none."""
    bits = bits_per_token(vocab_size)
    if len(tokens) != tokens_needed(vocab_size) or any(not 0 <= token < 1 << bits for token in tokens):
        raise ValueError(f"{list(tokens)[:8]} tells no similarity: the engine's processor did not write it")
    whole = sum(token << (bits * place) for place, token in enumerate(tokens))
    if whole >> BITS:
        raise ValueError(f"{list(tokens)[:8]} tells no similarity: the engine's processor did not write it")
    return float(struct.unpack("<f", struct.pack("<I", whole))[0])
