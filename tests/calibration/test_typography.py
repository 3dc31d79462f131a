"""Queries written into images: all of the text, inside the frame."""

from __future__ import annotations

import numpy as np
import pytest

from ras_ext.calibration.typography import SIDE, write_query


def ink(text: str) -> np.ndarray:
    return np.asarray(write_query(text).convert("L")) < 128


@pytest.mark.parametrize("words", [1, 8, 40, 150])
def test_nothing_is_cut_off_at_the_edges(words: int) -> None:
    image = write_query("wording " * words)
    assert image.size == (SIDE, SIDE)
    marks = ink("wording " * words)
    assert marks.any()
    edges = np.concatenate([marks[0], marks[-1], marks[:, 0], marks[:, -1]])
    assert not edges.any()


def test_other_words_give_other_images() -> None:
    assert (ink("how do i cook rice") != ink("how do i cook fish")).any()
