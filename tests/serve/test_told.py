"""A similarity leaves a worker as tokens and comes back bit for bit, whatever the vocabulary."""

from __future__ import annotations

import math
import random
from contextlib import suppress

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ras_ext.serve.engine.told import BITS, LOST, STEP, bits_per_token, heard, tell, tokens_needed

VOCABULARIES = st.integers(2, 200_000)
SIMILARITIES = st.floats(0.0, 1.0, width=32)


@settings(max_examples=400, deadline=None)
@given(similarity=SIMILARITIES, vocab_size=VOCABULARIES)
@example(similarity=LOST, vocab_size=311)
@example(similarity=1e-45, vocab_size=3)  # the smallest denormal
@example(similarity=0.0, vocab_size=151_936)
@example(similarity=1.0, vocab_size=4)
def test_a_similarity_is_heard_as_it_was_told(similarity: float, vocab_size: int) -> None:
    tokens = tell(torch.tensor([similarity]), vocab_size)[0].tolist()
    assert len(tokens) == tokens_needed(vocab_size)
    assert all(0 <= token < vocab_size for token in tokens)
    assert abs(heard(tokens, vocab_size) - similarity) <= STEP / 2


def test_the_ends_are_heard_exactly_and_rounding_past_one_is_one() -> None:
    told = tell(torch.tensor([0.0, 1.0, 1.0 + 1e-6]), 311)
    assert [heard(row.tolist(), 311) for row in told] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("word", [0x7FC00000, 0xFFC00000, 0x7F800001])  # NaN as it is written, as arithmetic makes it …
def test_no_number_is_heard_as_no_number(word: int) -> None:
    number = torch.tensor([word - 2**32 if word >= 2**31 else word], dtype=torch.int32).view(torch.float32)
    assert math.isnan(heard(tell(number, 311)[0].tolist(), 311))


def test_two_tokens_of_a_common_vocabulary_are_enough() -> None:
    assert [tokens_needed(size) for size in (311, 32_000, 32_064, 128_256, 151_936)] == [4, 2, 2, 2, 2]


@settings(max_examples=100, deadline=None)
@given(vocab_size=VOCABULARIES)
def test_the_digits_have_room(vocab_size: int) -> None:
    assert 2 ** bits_per_token(vocab_size) <= vocab_size
    assert bits_per_token(vocab_size) * tokens_needed(vocab_size) >= BITS


@settings(max_examples=100, deadline=None)
@given(similarity=SIMILARITIES, vocab_size=VOCABULARIES, cut=st.integers(0, 30))
def test_what_ends_in_the_tokens_of_lost_is_lost(similarity: float, vocab_size: int, cut: int) -> None:
    first, last = (tell(torch.tensor([value]), vocab_size)[0].tolist() for value in (similarity, LOST))
    cut = min(cut, len(first) - 1)  # a request that is begun anew while it tells
    assert heard(first[:cut] + last[cut:], vocab_size) == LOST


def test_words_that_a_model_wrote_are_next_to_never_a_similarity() -> None:
    rng = random.Random(0)
    taken = 0
    for _ in range(100_000):
        try:
            taken += heard([rng.randrange(311) for _ in range(tokens_needed(311))], 311) != LOST
        except ValueError:
            continue
    assert taken <= 80


def test_one_word_again_and_again_is_no_similarity() -> None:
    for token in range(311):
        words = [token] * tokens_needed(311)
        with suppress(ValueError):
            assert heard(words, 311) == LOST  # which is asked for again, and then given up


def test_a_batch_is_told_row_by_row() -> None:
    numbers = torch.tensor([0.25, LOST, 1.0])
    assert [heard(row.tolist(), 311) for row in tell(numbers, 311)] == pytest.approx([0.25, LOST, 1.0], abs=STEP)


@pytest.mark.parametrize(
    ("tokens", "vocab_size"),
    [([1, 2, 3], 311), ([1, 2, 3, 4, 5], 311), ([1, 2, 3, 256], 311), ([1, 2, 3, -1], 311)],
)
def test_tokens_that_no_processor_wrote_are_refused(tokens: list[int], vocab_size: int) -> None:
    with pytest.raises(ValueError, match="tells no similarity"):
        heard(tokens, vocab_size)


def test_a_vocabulary_of_one_word_is_refused() -> None:
    with pytest.raises(ValueError, match="a vocabulary of 1 tells nothing"):
        bits_per_token(1)
