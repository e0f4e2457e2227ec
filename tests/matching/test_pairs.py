"""Blocks of pairs: taking, recombining, cutting and joining."""

import numpy as np
import pytest

from ncaudit.matching.pairs import Pairs, concatenate
from tests.signals.latent_pairs import latent_pairs

PAIRS, _ = latent_pairs(30)
NAMES = ("image", "caption", "image_id", "caption_id")


def same(left: Pairs, right: Pairs) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in NAMES)


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different lengths: \[29, 30\]"):
        Pairs(PAIRS.image[1:], PAIRS.caption, PAIRS.image_id, PAIRS.caption_id)


def test_taking_keeps_the_order_asked_for() -> None:
    taken = PAIRS.take(np.array([4, 1]))
    np.testing.assert_array_equal(taken.image_id, PAIRS.image_id[[4, 1]])
    np.testing.assert_array_equal(taken.caption, PAIRS.caption[[4, 1]])


def test_recombined_pairs_carry_the_ids_of_their_parts() -> None:
    mixed = PAIRS.recombine(np.array([0, 1]), np.array([2, 3]))
    np.testing.assert_array_equal(mixed.image_id, PAIRS.image_id[[0, 1]])
    np.testing.assert_array_equal(mixed.caption_id, PAIRS.caption_id[[2, 3]])
    np.testing.assert_array_equal(mixed.caption, PAIRS.caption[[2, 3]])


def test_chunks_joined_are_the_pairs() -> None:
    pieces = list(PAIRS.chunks(7))
    assert [len(piece) for _, piece in pieces] == [7, 7, 7, 7, 2]
    assert same(concatenate([piece for _, piece in pieces]), PAIRS)
    assert all(same(piece, PAIRS.take(np.arange(30)[at])) for at, piece in pieces)
