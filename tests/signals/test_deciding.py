"""Deciding signals: high speaks for a mismatch, always finite."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from ncaudit.config import DECIDING
from ncaudit.signals.deciding import HELD_OUT_NAMES, TRAINED_NAMES, held_out, stack_signals
from ncaudit.types import Floats

UNIT = arrays(np.float64, 6, elements=st.floats(0, 1))
LOSS = arrays(np.float32, 6, elements=st.floats(-3, 0, width=32))


def values(loss: Floats, unit: Floats) -> dict[str, Floats]:
    return {
        "neg_clip_loss": loss,
        "mscn_similarity": unit,
        "neighbour_discrepancy": -loss,
        "crcl_match_probability": loss,
        "crcl_label": unit,
    }


def test_the_settings_know_the_same_signals() -> None:
    assert sorted(DECIDING) == sorted(TRAINED_NAMES)


def test_losses_and_probabilities_are_turned_round() -> None:
    """ln(0.1 / 0.9) is -2.1972; a discrepancy is bad as it is."""
    got = stack_signals(values(np.array([-0.5]), np.array([0.9])), TRAINED_NAMES)
    np.testing.assert_allclose(got, [[0.5, -2.19722, 0.5, 0.5, -2.19722]], rtol=1e-5)


def test_probabilities_are_cut_at_their_edges() -> None:
    """A label that was given up counts as 0.01, an MSCN similarity of 0 as 0.001."""
    ends = np.array([0.0, 1.0])
    got = stack_signals(values(-ends, ends), ("crcl_label", "mscn_similarity"))
    np.testing.assert_allclose(got, [[4.59512, 6.90675], [-4.59512, -6.90675]], rtol=1e-5)


def test_strangers_have_the_held_out_signals_only() -> None:
    assert held_out(("crcl_label", "mscn_similarity")) == ("mscn_similarity",)
    assert held_out(("crcl_label",)) == ("neg_clip_loss",)
    assert set(HELD_OUT_NAMES) < set(TRAINED_NAMES)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        stack_signals({"neg_clip_loss": np.array([np.nan])}, ("neg_clip_loss",))


@given(LOSS, UNIT)
def test_better_numbers_never_raise_a_signal(loss: Floats, unit: Floats) -> None:
    worse = stack_signals(values(loss, unit), TRAINED_NAMES)
    better = stack_signals(values(loss + 0.5, np.minimum(unit + 0.1, 1)), TRAINED_NAMES)
    assert np.all(better <= worse + 1e-9)


@given(LOSS, UNIT, st.permutations(range(6)))
def test_signals_go_with_their_pairs(loss: Floats, unit: Floats, order: list[int]) -> None:
    np.testing.assert_array_equal(
        stack_signals(values(loss[order], unit[order]), TRAINED_NAMES),
        stack_signals(values(loss, unit), TRAINED_NAMES)[order],
    )
