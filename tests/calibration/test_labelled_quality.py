"""Quality measured on verdicts of unequal weight."""

import numpy as np
import pytest

from ncaudit.calibration.labelled_quality import label_quality


def test_a_small_case_by_hand() -> None:
    quality = label_quality(
        np.array([0.1, 0.2, 0.6, 0.9]),
        np.array([False, True, False, True]),
        np.array([3, 1, 1, 1]),
    )
    # Weighted pairs of a mismatch and a match: 1*3 + 0 for .2, 1*3 + 1*1 for .9, of 2 * 4.
    assert quality.auroc == pytest.approx(7 / 8)
    assert quality.brier == pytest.approx((3 * 0.01 + 0.64 + 0.36 + 0.01) / 6)
    assert quality.precision_at_half == pytest.approx(0.5)


def test_a_weight_counts_as_repetitions() -> None:
    rng = np.random.default_rng(0)
    p, wrong, weight = rng.random(60), rng.random(60) < 0.4, rng.integers(1, 4, 60)
    weighted = label_quality(p, wrong, weight.astype(float))
    repeated = label_quality(
        np.repeat(p, weight), np.repeat(wrong, weight), np.ones(int(weight.sum()))
    )
    assert weighted.auroc == pytest.approx(repeated.auroc)
    assert weighted.brier == pytest.approx(repeated.brier)
    assert weighted.precision_at_half == pytest.approx(repeated.precision_at_half)
    assert weighted.ece == pytest.approx(repeated.ece, abs=0.05)


def test_what_cannot_be_measured_is_left_out() -> None:
    quality = label_quality(np.full(9, 0.2), np.zeros(9, np.bool_), np.ones(9))
    assert quality.auroc is None
    assert quality.precision_at_half is None
    assert quality.ece == pytest.approx(0.2)
