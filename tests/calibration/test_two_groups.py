"""Two groups: the share of mismatches and each pair's probability, without labels."""

import numpy as np
import pytest

from ncaudit.calibration.two_groups import (
    Evidence,
    TwoGroups,
    fit_two_groups,
    resample,
    share_interval,
)
from ncaudit.types import Bools, Floats

NAMES = ("one", "two")


def simulated(
    share: float, n: int = 3000, n_planted: int = 800, seed: int = 0
) -> tuple[Evidence, Bools]:
    """Matched pairs around 0, mismatched and planted ones around 3, two signals."""
    rng = np.random.default_rng([seed, 9])
    wrong = np.arange(n) < round(share * n)
    observed = rng.normal(size=(n, 2)) + 3.0 * wrong[:, None]
    planted = rng.normal(size=(n_planted, 2)) + 3.0
    return Evidence(NAMES, observed, np.arange(n), planted), wrong


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("seed", [0, 1])
def test_share_is_recovered(share: float, seed: int) -> None:
    evidence, _ = simulated(share, n_planted=3000, seed=seed)
    assert fit_two_groups(evidence).share == pytest.approx(share, abs=0.05)


def test_without_mismatches_the_share_is_near_zero_and_nothing_is_flagged() -> None:
    evidence, _ = simulated(0.0)
    fit = fit_two_groups(evidence)
    assert fit.share < 0.03
    assert np.mean(fit.p_mismatch(evidence.observed) >= 0.5) < 0.02


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_probabilities_are_calibrated(share: float) -> None:
    """Of the pairs said to be wrong with probability p, about p are."""
    evidence, wrong = simulated(share)
    p = fit_two_groups(evidence).p_mismatch(evidence.observed)
    for low, high in ((0.0, 0.1), (0.1, 0.9), (0.9, 1.0)):
        inside = (p >= low) & (p <= high)
        assert p[inside].mean() == pytest.approx(wrong[inside].mean(), abs=0.12)


def grid(fit: TwoGroups) -> Floats:
    axis = np.linspace(-6, 9, 61)
    return fit.p_mismatch(np.array([[x, y] for x in axis for y in axis])).reshape(61, 61)


def test_probability_rises_with_every_signal_and_stays_in_zero_to_one() -> None:
    p = grid(fit_two_groups(simulated(0.3)[0]))
    assert np.all((p >= 0) & (p <= 1))
    assert np.all(np.diff(p, axis=0) >= -1e-12)
    assert np.all(np.diff(p, axis=1) >= -1e-12)


def test_a_pair_with_several_rows_counts_once() -> None:
    evidence, _ = simulated(0.3)
    assert np.all(evidence.weight == 1)
    twice = Evidence(
        NAMES,
        np.repeat(evidence.observed, 2, axis=0),
        np.repeat(evidence.pair, 2),
        evidence.planted,
    )
    assert np.all(twice.weight == 0.5)
    plain, doubled = (fit_two_groups(each) for each in (evidence, twice))
    # Not equal: the knots lie at quantiles of rows, whatever these weigh.
    assert doubled.share == pytest.approx(plain.share, abs=0.02)
    p, other = (each.p_mismatch(evidence.observed) for each in (plain, doubled))
    assert np.mean(np.abs(p - other)) < 0.01


def test_units_of_a_signal_do_not_matter() -> None:
    evidence, _ = simulated(0.3)
    scaled = Evidence(NAMES, evidence.observed * 50 + 7, evidence.pair, evidence.planted * 50 + 7)
    plain, other = fit_two_groups(evidence), fit_two_groups(scaled)
    np.testing.assert_allclose(
        other.p_mismatch(scaled.observed), plain.p_mismatch(evidence.observed), atol=1e-3
    )


def test_contributions_and_prior_make_the_probability() -> None:
    evidence, _ = simulated(0.3)
    fit = fit_two_groups(evidence)
    odds = fit.contributions(evidence.observed).sum(1) + fit.model.bias
    odds += np.log(fit.share / (1 - fit.share))
    np.testing.assert_allclose(fit.p_mismatch(evidence.observed), 1 / (1 + np.exp(-odds)))


def test_a_signal_that_is_constant_over_planted_pairs_is_kept_finite() -> None:
    evidence, _ = simulated(0.3)
    observed = np.column_stack([evidence.observed[:, 0], np.zeros(3000)])
    planted = np.column_stack([evidence.planted[:, 0], np.zeros(800)])
    fit = fit_two_groups(Evidence(NAMES, observed, evidence.pair, planted))
    assert np.isfinite(fit.p_mismatch(observed)).all()
    assert fit.share == pytest.approx(0.3, abs=0.05)


def test_resamples_are_repeatable_and_their_interval_holds_the_share() -> None:
    evidence, _ = simulated(0.3, n=1200)
    group = np.arange(1200) // 2
    first, again, other = (
        resample(evidence, group, n_resamples=4, seed=seed) for seed in (0, 0, 1)
    )
    shares = [[fit.share for fit in fits] for fits in (first, again, other)]
    assert shares[0] == shares[1] != shares[2]
    interval = share_interval(fit_two_groups(evidence), first)
    assert interval.low <= interval.estimate <= interval.high
    assert interval.high - interval.low < 0.1
