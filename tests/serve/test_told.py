"""A similarity leaves a worker as tokens and comes back bit for bit, whatever the vocabulary."""

from __future__ import annotations

import struct

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ras_ext.serve.engine.told import LOST, bits_per_token, heard, tell, tokens_needed

VOCABULARIES = st.integers(2, 200_000)
WORDS = st.integers(0, 2**32 - 1)  # every f32 there is, by its bits


def bits(number: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", number))[0])


@settings(max_examples=400, deadline=None)
@given(word=WORDS, vocab_size=VOCABULARIES)
@example(word=bits(LOST), vocab_size=311)
@example(word=bits(float("nan")), vocab_size=2)
@example(word=0xFFC00000, vocab_size=32_000)  # the NaN that arithmetic makes
@example(word=bits(float("inf")), vocab_size=128_256)
@example(word=bits(float("-inf")), vocab_size=200_000)
@example(word=1, vocab_size=3)  # the smallest denormal
@example(word=0x80000000, vocab_size=151_936)  # -0.0
@example(word=bits(1.0), vocab_size=4)
def test_every_f32_is_heard_as_it_was_told(word: int, vocab_size: int) -> None:
    number = torch.tensor([word - 2**32 if word >= 2**31 else word], dtype=torch.int32).view(torch.float32)
    tokens = tell(number, vocab_size)[0].tolist()
    assert len(tokens) == tokens_needed(vocab_size)
    assert all(0 <= token < vocab_size for token in tokens)
    found = heard(tokens, vocab_size)
    if number.isnan():
        assert found != found
    else:
        assert bits(found) == word


@settings(max_examples=100, deadline=None)
@given(vocab_size=VOCABULARIES)
def test_the_digits_have_room_for_an_f32(vocab_size: int) -> None:
    assert 2 ** bits_per_token(vocab_size) <= vocab_size
    assert bits_per_token(vocab_size) * tokens_needed(vocab_size) >= 32


def test_a_batch_is_told_row_by_row() -> None:
    numbers = torch.tensor([0.25, LOST, 1.0])
    assert [heard(row.tolist(), 311) for row in tell(numbers, 311)] == [0.25, LOST, 1.0]


@pytest.mark.parametrize(
    ("tokens", "vocab_size"),
    [([1, 2, 3], 311), ([1, 2, 3, 4, 5], 311), ([1, 2, 3, 256], 311), ([1, 2, 3, -1], 311), ([0, 0, 0, 0, 255], 200)],
)
def test_tokens_that_no_processor_wrote_are_refused(tokens: list[int], vocab_size: int) -> None:
    with pytest.raises(ValueError, match="tells no similarity"):
        heard(tokens, vocab_size)


def test_a_vocabulary_of_one_word_is_refused() -> None:
    with pytest.raises(ValueError, match="a vocabulary of 1 tells nothing"):
        bits_per_token(1)
