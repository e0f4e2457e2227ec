"""Calibration error, Brier, precision and recall: by hand and by what always holds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import brier_score_loss, precision_recall_curve

from ncaudit.calibration.metrics import (
    brier_score,
    expected_calibration_error,
    precision_at_k,
    recall_at_precision,
    reliability_table,
)

P = np.array([0.05, 0.05, 0.95, 0.95])
TRUTH = np.array([False, True, True, True])


def sample(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.random(n).round(2)
    truth = rng.random(n) < p
    truth[0] = True
    return p, truth


def test_calibration_error_by_hand() -> None:
    """Half the pairs are 0.45 off (0.05 against 0.5), the others 0.05."""
    assert expected_calibration_error(P, TRUTH) == pytest.approx(0.25)
    assert brier_score(P, TRUTH) == pytest.approx((0.05**2 + 3 * 0.05**2 + 0.9) / 4, abs=1e-12)


def test_reliability_table_has_every_bin() -> None:
    table = reliability_table(P, TRUTH)
    assert [row.n_pairs for row in table] == [2, *[0] * 13, 2]
    assert (table[0].mean_p, table[0].mismatch_rate) == (pytest.approx(0.05), 0.5)
    assert math.isnan(table[7].mean_p)
    assert (table[0].low, table[-1].high) == (0.0, 1.0)


def test_probabilities_at_the_ends_belong_to_the_end_bins() -> None:
    table = reliability_table(np.array([0.0, 1.0]), np.array([False, True]), n_bins=2)
    assert [row.n_pairs for row in table] == [1, 1]
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_precision_at_k_shares_ties() -> None:
    score = np.array([3.0, 2.0, 2.0, 2.0, 1.0])
    truth = np.array([True, True, False, False, True])
    assert precision_at_k(score, truth, k=1) == 1
    assert precision_at_k(score, truth, k=2) == pytest.approx((1 + 1 / 3) / 2)
    assert precision_at_k(score, truth, k=5) == pytest.approx(3 / 5)
    with pytest.raises(ValueError, match="k must"):
        precision_at_k(score, truth, k=6)


@given(st.integers(0, 10_000), st.floats(0.05, 1.0))
@settings(max_examples=50, deadline=None)
def test_agrees_with_scikit_learn(seed: int, target: float) -> None:
    p, truth = sample(seed)
    assert brier_score(p, truth) == pytest.approx(brier_score_loss(truth, p))
    precision, recall, _ = precision_recall_curve(truth, p)
    expected = recall[:-1][precision[:-1] >= target].max(initial=0.0)
    assert recall_at_precision(p, truth, precision=target) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_order_of_the_pairs_does_not_matter(seed: int, k: int) -> None:
    p, truth = sample(seed)
    order = np.random.default_rng(seed).permutation(p.size)
    assert precision_at_k(p[order], truth[order], k=k) == precision_at_k(p, truth, k=k)
    error = expected_calibration_error(p, truth)
    assert expected_calibration_error(p[order], truth[order]) == pytest.approx(error)
    assert 0 <= error <= 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="truths"):
        brier_score(P, TRUTH[:2])
    with pytest.raises(ValueError, match="NaN"):
        brier_score(np.array([np.nan]), np.array([True]))
    with pytest.raises(ValueError, match="p_mismatch"):
        reliability_table(np.array([1.5]), np.array([True]))
    with pytest.raises(ValueError, match="mismatch"):
        recall_at_precision(P, np.zeros(4, bool), precision=0.9)
