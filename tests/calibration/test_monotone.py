"""The monotone model: no signal that speaks more for a mismatch lowers its score."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from ncaudit.calibration.monotone import KNOT_QUANTILES, MonotoneModel, _loss, fit_monotone
from ncaudit.types import Floats

FINITE = st.floats(-50, 50, allow_nan=False)


def simulated(n: int = 800, seed: int = 0) -> tuple[Floats, Floats]:
    """Three signals: one that tells, one that tells the wrong way round, one of noise."""
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < 0.4).astype(float)
    signals = rng.normal(size=(n, 3))
    signals[:, 0] += 2 * target
    signals[:, 1] -= 2 * target
    return signals, target


SIGNALS, TARGET = simulated()
MODEL = fit_monotone(SIGNALS, TARGET, np.ones(len(TARGET)))


@given(
    arrays(np.float64, (2, 3), elements=FINITE),
    arrays(np.float64, (3,), elements=st.floats(0, 20)),
)
def test_score_never_falls_when_signals_rise(signals: Floats, rise: Floats) -> None:
    assert np.all(MODEL.score(signals + rise) >= MODEL.score(signals) - 1e-9)


@settings(max_examples=20, deadline=None)
@given(
    arrays(np.float64, (40, 2), elements=FINITE),
    arrays(np.float64, 40, elements=st.floats(0, 1)),
    arrays(np.float64, 40, elements=st.floats(0.01, 10)),
)
def test_any_fit_has_finite_slopes_that_are_not_negative(
    signals: Floats, target: Floats, weight: Floats
) -> None:
    model = fit_monotone(signals, target, weight)
    assert np.all(model.slopes >= 0)
    assert np.isfinite(model.slopes).all()
    assert np.all(np.diff(model.knots, axis=1) > 0)
    along = np.sort(signals, axis=0)
    assert np.all(np.diff(model.contributions(along), axis=0) >= -1e-9)


def test_a_hand_made_model_adds_up() -> None:
    """Slope 2 from 0 to 1, slope 3 from 1 to 3: at 2 it is 2 * 1 + 3 * 1, less 1."""
    model = MonotoneModel(np.array([[0.0, 1.0, 3.0]]), np.array([[2.0, 3.0]]), -1.0)
    got = model.score(np.array([[-5.0], [0.0], [0.5], [2.0], [3.0], [99.0]]))
    np.testing.assert_allclose(got, [-1, -1, 0, 4, 7, 7])


def test_gradient_of_the_loss_is_its_finite_difference() -> None:
    rng = np.random.default_rng(1)
    design, target, weight = rng.random((30, 4)), rng.random(30), rng.random(30) + 0.1
    at = rng.normal(size=5)
    _, gradient = _loss(at, design, target, weight, 0.7)
    numeric = scipy.optimize.approx_fprime(
        at, lambda x: _loss(x, design, target, weight, 0.7)[0], 1e-6
    )
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)


def test_a_signal_that_tells_the_wrong_way_is_switched_off() -> None:
    added = MODEL.contributions(SIGNALS)
    spread = added.max(0) - added.min(0)
    assert spread[0] > 2
    assert spread[1] < 0.1


def test_weights_count_like_repeated_rows() -> None:
    """Whole weights and rows written out as often; up to where the knots lie."""
    # The same values in equal shares keep the quantiles where they are.
    signals, target = np.tile(SIGNALS[:200], (2, 1)), np.append(TARGET[:200], 1 - TARGET[:200])
    weight = np.append(np.full(200, 3.0), np.ones(200))
    weighted = fit_monotone(signals, target, weight, penalty=0.0)
    soft = fit_monotone(SIGNALS[:200], np.abs(TARGET[:200] - 0.25), np.ones(200), penalty=0.0)
    np.testing.assert_allclose(weighted.score(signals[:200]), soft.score(signals[:200]), atol=0.05)


def test_a_heavier_penalty_flattens_the_model() -> None:
    flat = fit_monotone(SIGNALS, TARGET, np.ones(len(TARGET)), penalty=1e4)
    assert np.ptp(flat.score(SIGNALS)) < 0.2 * np.ptp(MODEL.score(SIGNALS))


def test_constant_signals_are_no_problem() -> None:
    signals = np.column_stack([SIGNALS[:, 0], np.full(len(TARGET), 0.25)])
    model = fit_monotone(signals, TARGET, np.ones(len(TARGET)))
    assert np.isfinite(model.score(signals)).all()
    assert model.knots.shape == (2, len(KNOT_QUANTILES))


@pytest.mark.parametrize("far", [1e6, 1e12])
def test_beyond_the_outer_knots_a_signal_counts_as_the_outer_knot(far: float) -> None:
    edges = MODEL.knots[:, [0, -1]].T
    np.testing.assert_allclose(
        MODEL.score(np.array([[-far] * 3, [far] * 3])), MODEL.score(edges), atol=1e-6
    )
