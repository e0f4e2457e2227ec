"""Local fdr: golden values, the estimated share, and monotone smoothing."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from ncaudit.calibration.local_fdr import (
    NullShare,
    estimate_null_share,
    fit_falling_curve,
    local_fdr,
    local_fdr_from_classifier,
)
from tests.golden.make_golden import stored
from tests.golden.oracle_mixtures import normal_density

GOLDEN = stored()


def planted(n: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of n observed pairs, a share of them mismatched, and of n mismatches."""
    rng = np.random.default_rng(seed)
    shift = np.where(rng.random(n) < share, 0.0, 3.0)
    return rng.normal(size=n) + shift, rng.normal(size=n)


def test_golden_densities() -> None:
    x = (0.10, 0.20, 0.225, 0.25, 0.35)
    f0 = np.array([normal_density(value, 0.15, 0.05) for value in x])
    f1 = np.array([normal_density(value, 0.30, 0.05) for value in x])
    got = local_fdr(f0, 0.3 * f0 + 0.7 * f1, null_share=0.3)
    np.testing.assert_allclose(got, GOLDEN["G7.lfdr"], rtol=1e-12)


def test_golden_classifier() -> None:
    g = 1 / (1 + np.exp([2, 0.5, 0, -1, -3]))
    got = local_fdr_from_classifier(g, null_share=0.3)
    expected = GOLDEN["G7.lfdr from classifier g, pi=.3, n_obs=n_neg"]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_uneven_training_of_the_classifier_is_undone() -> None:
    """Four observed pairs a mismatch make g's odds four times too high."""
    g = np.array([0.2, 0.5, 0.9])
    odds = 4 * g / (1 - g)
    got = local_fdr_from_classifier(odds / (1 + odds), null_share=0.2, observed_per_null=4)
    np.testing.assert_allclose(got, local_fdr_from_classifier(g, null_share=0.2))


def test_certain_classifier_gives_no_nan() -> None:
    got = local_fdr_from_classifier(np.array([0.0, 1.0]), null_share=0.0)
    np.testing.assert_array_equal(got, [0, 0])
    got = local_fdr_from_classifier(np.array([0.0, 1.0]), null_share=0.1)
    np.testing.assert_array_equal(got, [1, 0])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.8, 1.0])
def test_share_of_mismatches_is_found(share: float) -> None:
    observed, null = planted(20_000, share)
    got = estimate_null_share(observed, null, rng=np.random.default_rng(1))
    assert got.estimate == pytest.approx(share, abs=0.03)
    assert 0 <= got.low <= got.estimate <= got.high <= 1
    assert got.high - got.low < 0.06


def test_bootstrap_covers_and_repeats_itself() -> None:
    covered = 0
    for seed in range(20):
        observed, null = planted(1000, 0.4, seed)
        got = estimate_null_share(observed, null, rng=np.random.default_rng(seed))
        again = estimate_null_share(observed, null, rng=np.random.default_rng(seed))
        assert got == again
        covered += got.low <= 0.4 <= got.high
    assert covered >= 12  # 80 % of 20 is 16


def test_ties_and_tiny_samples_are_survived() -> None:
    rng = np.random.default_rng(0)
    got = estimate_null_share(np.array([0.0, 0.0, 1.0, 1.0]), np.zeros(3), rng=rng)
    assert got.estimate == 0.5
    plain = estimate_null_share(np.zeros(1), np.zeros(1), rng=rng, n_bootstrap=0)
    assert plain == NullShare(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="NaN"):
        estimate_null_share(np.array([np.nan]), np.zeros(1), rng=rng)
    with pytest.raises(ValueError, match="both"):
        estimate_null_share(np.zeros(0), np.zeros(1), rng=rng)


@given(
    arrays(np.float64, 25, elements=st.floats(0, 1)),
    arrays(np.float64, 25, elements=st.floats(-5, 5)),
)
@settings(max_examples=50, deadline=None)
def test_smoothed_probability_never_rises(p: np.ndarray, score: np.ndarray) -> None:
    smooth = fit_falling_curve(p, score).at(score)
    order = np.argsort(score)
    assert (np.diff(smooth[order]) <= 1e-12).all()
    assert ((smooth >= 0) & (smooth <= 1)).all()
    assert smooth.mean() == pytest.approx(p.mean(), abs=1e-6)


def test_pooling_by_hand() -> None:
    """The violators 0.2, 0.6 pool to 0.4."""
    curve = fit_falling_curve(np.array([0.9, 0.2, 0.6, 0.1]), np.array([0.0, 1.0, 2.0, 3.0]))
    got = curve.at(np.array([-9, 0, 1, 1.5, 2, 2.5, 3, 9.0]))
    np.testing.assert_allclose(got, [0.9, 0.9, 0.4, 0.4, 0.4, 0.25, 0.1, 0.1])


def test_probability_is_calibrated_on_planted_mismatches() -> None:
    observed, null = planted(50_000, 0.3)
    f0 = np.exp(-(observed**2) / 2)
    f1 = np.exp(-((observed - 3) ** 2) / 2)
    share = estimate_null_share(observed, null, rng=np.random.default_rng(0)).estimate
    p = local_fdr(f0, 0.3 * f0 + 0.7 * f1, null_share=share)
    assert p.mean() == pytest.approx(0.3, abs=0.02)
    # Below 1.5: 0.3 * 0.933 mismatches, 0.7 * 0.067 matches.
    assert p[observed < 1.5].mean() == pytest.approx(0.857, abs=0.02)
