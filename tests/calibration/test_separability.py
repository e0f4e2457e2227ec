"""Warnings: where probabilities are wrong, and not where they are right."""

import numpy as np
import pytest

from ncaudit.calibration.separability import Separability, check_separability
from ncaudit.calibration.two_groups import fit_two_groups
from ncaudit.types import Floats
from tests.calibration.simulated_noise import simulated


def checked(share: float, *, seed: int) -> Separability:
    evidence, _ = simulated(share, topic=False, seed=seed)
    fit = fit_two_groups(evidence)
    observed, planted = fit.p_mismatch(evidence.observed), fit.p_mismatch(evidence.planted)
    return check_separability(observed, evidence.pair, planted, self_check_auroc=0.97)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.4, 0.6])
def test_random_mismatches_and_clean_pairs_pass(share: float, seed: int) -> None:
    result = checked(share, seed=seed)
    assert result.separable
    assert result.warnings == ()


def test_a_failed_self_check_is_warned_of() -> None:
    p, pair = np.full(50, 0.1), np.arange(50)
    assert not check_separability(p, pair, p, self_check_auroc=0.69).separable
    assert check_separability(p, pair, p, self_check_auroc=0.7).separable


def gathered(n: int) -> tuple[Floats, Floats]:
    """n flagged pairs just above one half, and planted ones spread to 1."""
    return np.linspace(0.5, 0.52, n), np.linspace(0.5, 1.0, 500)


def test_few_flagged_pairs_are_no_evidence() -> None:
    observed, planted = gathered(9)
    result = check_separability(observed, np.arange(9), planted, self_check_auroc=0.9)
    assert result.separable
    assert "flagged_distance" not in result.statistics


def test_pairs_gathered_at_the_threshold_are_warned_of() -> None:
    observed, planted = gathered(100)
    result = check_separability(observed, np.arange(100), planted, self_check_auroc=0.9)
    # Of the planted, 20 of 500 lie up to 0.52, where all of the observed are.
    assert result.statistics["flagged_distance"] == pytest.approx(0.96)
    assert "similar images" in result.warnings[0]
    assert "ncaudit review" in result.warnings[0]
    assert result.statistics["distance_limit"] == pytest.approx(1.63 * np.sqrt(0.012))
    assert not result.separable


def test_a_pair_with_several_rows_counts_once() -> None:
    observed, planted = gathered(100)
    once = check_separability(observed, np.arange(100), planted, self_check_auroc=0.9)
    thrice = check_separability(
        np.repeat(observed, 3), np.repeat(np.arange(100), 3), planted, self_check_auroc=0.9
    )
    assert thrice.statistics == pytest.approx(once.statistics)


def test_order_does_not_matter() -> None:
    observed, planted = gathered(100)
    order = np.random.default_rng(0).permutation(100)
    results = [
        check_separability(rows, pair, planted[::step], self_check_auroc=0.9)
        for rows, pair, step in ((observed, np.arange(100), 1), (observed[order], order, -1))
    ]
    assert results[0].statistics == pytest.approx(results[1].statistics)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_values_that_are_no_probabilities_are_refused(bad: float) -> None:
    p, wrong, pair = np.full(5, 0.5), np.full(5, bad), np.arange(5)
    for observed, planted, auroc in ((wrong, p, 0.9), (p, wrong, 0.9), (p, p, bad)):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            check_separability(observed, pair, planted, self_check_auroc=auroc)


def test_empty_sides_and_other_shapes_are_refused() -> None:
    p, pair, none = np.full(5, 0.5), np.arange(5), np.zeros(0)
    for observed, rows, planted in ((p, pair[:4], p), (p, pair, none), (none, pair[:0], p)):
        with pytest.raises(ValueError, match="probabilities"):
            check_separability(observed, rows, planted, self_check_auroc=0.9)
