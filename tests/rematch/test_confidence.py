"""The confidence: honest on drawn evidence, with and without the partner in the pool."""

import numpy as np
import pytest

from ncaudit.rematch.confidence import HiddenPairs, fit_confidence, recoverable_share


def drawn(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw evidence: where the partner is there, the proposal is right as a logit tells."""
    rng = np.random.default_rng([seed, 5])
    there = rng.random(n) < share
    strength = np.where(there, rng.normal(1.0, 1.2, n), rng.normal(-0.5, 1.0, n))
    right = there & (rng.random(n) < 1 / (1 + np.exp(-1.5 * strength)))
    return np.stack([strength, strength + rng.normal(size=n)], 1), there, right


def hidden(seed: int = 0) -> HiddenPairs:
    evidence, there, right = drawn(1500, 0.5, seed)
    return HiddenPairs(evidence, np.ones(1500), np.arange(1500), there, right)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_recoverable_share_is_found(share: float) -> None:
    measured, deviation = recoverable_share(hidden(), drawn(4000, share, 1)[0])
    assert abs(measured - share) < 3 * deviation
    assert deviation < 0.15


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_confidence_matches_the_share_of_right_proposals(share: float) -> None:
    evidence, _, right = drawn(4000, share, 1)
    chance = fit_confidence(hidden(), evidence, guess=0.8, most=0.95).of(evidence)
    for low in np.arange(10) / 10:
        inside = (chance >= low) & (chance < low + 0.1)
        if inside.sum() >= 50:
            assert abs(chance[inside].mean() - right[inside].mean()) < 0.1


def test_confidence_never_falls_with_evidence() -> None:
    confidence = fit_confidence(hidden(), drawn(500, 0.6, 1)[0], guess=0.6, most=0.95)
    grid = np.linspace(-4, 4, 50)
    for other in (-1.0, 0.0, 1.0):
        assert (np.diff(confidence.of(np.stack([grid, np.full(50, other)], 1))) >= -1e-12).all()


def test_evidence_that_says_nothing_leaves_the_guess() -> None:
    rng = np.random.default_rng(0)
    there = rng.random(400) < 0.5
    blind = HiddenPairs(
        rng.normal(size=(400, 2)),
        np.ones(400),
        np.arange(400),
        there,
        there & (rng.random(400) < 0.1),
    )
    found = fit_confidence(blind, rng.normal(size=(400, 2)), guess=0.8, most=0.9)
    assert found.share == pytest.approx(0.8, abs=0.15)


def test_share_stays_below_the_mismatched_ones() -> None:
    assert fit_confidence(hidden(), drawn(900, 0.9, 1)[0], guess=0.9, most=0.4).share == 0.4
