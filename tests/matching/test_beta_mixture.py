"""Two Beta distributions: golden values, and no NaN whatever the scores."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from ncaudit.matching.beta_mixture import (
    Beta,
    BetaMixture,
    expectation_maximisation_step,
    fit_beta_mixture,
    reference_mixture,
)
from tests.golden.make_golden import stored

GOLDEN = stored()
NOISE, CLEAN = np.array([0.1, 0.2, 0.15, 0.3]), np.array([0.9, 0.8, 0.95, 0.7])
Z = np.array([0.25, 0.5, 0.6, 0.85])


def shapes(beta: Beta) -> list[float]:
    return [beta.alpha, beta.beta]


def test_golden_moments_and_posterior() -> None:
    mixture = reference_mixture(NOISE, CLEAN)
    assert shapes(mixture.low) == pytest.approx(GOLDEN["G4.beta MoM noise (a,b)"])
    assert shapes(mixture.high) == pytest.approx(GOLDEN["G4.beta MoM clean (a,b)"])
    expected = GOLDEN["G4.posterior clean, weights .5/.5 at z=[.25,.5,.6,.85]"]
    np.testing.assert_allclose(mixture.posterior(Z), expected, rtol=1e-10)


def test_golden_step() -> None:
    stepped = expectation_maximisation_step(reference_mixture(NOISE, CLEAN), Z)
    weights = [1 - stepped.high_weight, stepped.high_weight]
    assert weights == pytest.approx(GOLDEN["G4.one EM step: weights"])
    assert shapes(stepped.low) == pytest.approx(GOLDEN["G4.one EM step: noise (a,b)"])
    assert shapes(stepped.high) == pytest.approx(GOLDEN["G4.one EM step: clean (a,b)"])


def test_planted_mixture_is_found() -> None:
    rng = np.random.default_rng(0)
    is_clean = rng.random(4000) < 0.7
    scores = np.where(is_clean, rng.beta(9, 3, 4000), rng.beta(2, 8, 4000))
    mixture = fit_beta_mixture(scores, max_iterations=50)
    assert mixture.high_weight == pytest.approx(0.7, abs=0.03)
    assert ((mixture.posterior(scores) > 0.5) == is_clean).mean() > 0.97


def test_components_come_in_the_order_of_their_means() -> None:
    mixture = reference_mixture(CLEAN, NOISE)
    assert mixture.low.mean < mixture.high.mean
    assert reference_mixture(CLEAN, NOISE) == reference_mixture(NOISE, CLEAN)


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.floats(0.0, 1.0)),
    st.sampled_from([None, BetaMixture(Beta(2, 8), Beta(8, 2)), reference_mixture(NOISE, CLEAN)]),
)
@settings(max_examples=100, deadline=None)
def test_fit_is_never_nan(scores: np.ndarray, initial: BetaMixture | None) -> None:
    mixture = fit_beta_mixture(scores, initial=initial)
    posterior = mixture.posterior(scores)
    assert ((posterior >= 0) & (posterior <= 1)).all()
    assert mixture.low.mean <= mixture.high.mean
    assert np.isfinite([*shapes(mixture.low), *shapes(mixture.high)]).all()


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_equal_scores_are_fitted_too(constant: float) -> None:
    mixture = fit_beta_mixture(np.full(50, constant))
    assert np.isfinite(mixture.posterior(np.linspace(0, 1, 11))).all()


@pytest.mark.parametrize("bad", [[], [np.nan], [1.2], [-0.1]])
def test_bad_scores_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="scores"):
        fit_beta_mixture(np.array(bad, dtype=np.float64))
