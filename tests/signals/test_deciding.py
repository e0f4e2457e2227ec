"""Deciding signals: high speaks for a mismatch, always finite."""

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from ncaudit.signals.deciding import (
    HELD_OUT_NAMES,
    TRAINED_NAMES,
    held_out_signals,
    trained_signals,
)
from ncaudit.types import Floats

UNIT = arrays(np.float64, 6, elements=st.floats(0, 1))
LOSS = arrays(np.float32, 6, elements=st.floats(-3, 0, width=32))


def test_held_out_signal_is_the_loss_turned_round() -> None:
    got = held_out_signals(np.array([-0.5, -0.25], np.float32))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [[0.5], [0.25]])


def test_trained_signals_are_losses_and_log_odds_turned_round() -> None:
    """ln(0.9 / 0.1) is 2.1972; ln(0.25 / 0.75) is -1.0986."""
    half = np.array([-0.5])
    got = trained_signals(half, half * 2, np.array([0.9]), np.array([0.25]))
    np.testing.assert_allclose(got, [[0.5, 1.0, -2.19722, 1.09861]], rtol=1e-5)


def test_probabilities_are_cut_at_their_edges() -> None:
    """A label given up counts as 0.01, a match probability of 0 as 0.0001."""
    ends = np.array([0.0, 1.0])
    got = trained_signals(ends, ends, ends, ends)
    np.testing.assert_allclose(got[:, 2], [9.21024, -9.21024], rtol=1e-5)
    np.testing.assert_allclose(got[:, 3], [4.59512, -4.59512], rtol=1e-5)


@given(LOSS, LOSS, UNIT, UNIT)
def test_signals_are_finite_with_one_column_for_each_name(
    held_out: Floats, trained: Floats, match: Floats, label: Floats
) -> None:
    got = trained_signals(held_out, trained, match, label)
    assert got.shape == (6, len(TRAINED_NAMES))
    assert np.isfinite(got).all()
    assert held_out_signals(held_out).shape == (6, len(HELD_OUT_NAMES))


@given(LOSS, LOSS, UNIT, UNIT)
def test_better_numbers_never_raise_a_signal(
    held_out: Floats, trained: Floats, match: Floats, label: Floats
) -> None:
    worse = trained_signals(held_out, trained, match, label)
    better = trained_signals(
        held_out + 0.5, trained + 0.5, np.sqrt(match), np.minimum(label + 0.1, 1)
    )
    assert np.all(better <= worse + 1e-9)


@given(LOSS, LOSS, UNIT, UNIT, st.permutations(range(6)))
def test_signals_go_with_their_pairs(
    held_out: Floats, trained: Floats, match: Floats, label: Floats, order: list[int]
) -> None:
    columns = held_out, trained, match, label
    np.testing.assert_array_equal(
        trained_signals(*(each[order] for each in columns)), trained_signals(*columns)[order]
    )
