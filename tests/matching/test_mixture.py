"""One Gaussian or two."""

import numpy as np
import pytest

from ncaudit.matching.mixture import split_by_gaussians


def test_two_kinds_are_separated() -> None:
    rng = np.random.default_rng(0)
    is_low = rng.random(2000) < 0.3
    scores = np.where(is_low, rng.normal(0.1, 0.02, 2000), rng.normal(0.3, 0.02, 2000))
    split = split_by_gaussians(scores)
    assert split.separated
    assert split.bic_gain > 0.1
    assert split.means == pytest.approx((0.1, 0.3), abs=0.01)
    assert split.low_share == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(split.p_low > 0.5, is_low)


def test_one_kind_is_not() -> None:
    scores = np.random.default_rng(1).normal(size=2000)
    assert not split_by_gaussians(scores).separated


def test_scale_of_the_scores_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.normal(0, 1, 300), rng.normal(6, 1, 300)])
    plain, scaled = split_by_gaussians(scores), split_by_gaussians(scores * 1e-3 + 5)
    np.testing.assert_allclose(plain.p_low, scaled.p_low, atol=1e-6)
    assert scaled.separated


def test_same_seed_same_split_and_any_order() -> None:
    rng = np.random.default_rng(3)
    scores = np.concatenate([rng.normal(0, 1, 200), rng.normal(4, 1, 300)])
    np.testing.assert_array_equal(
        split_by_gaussians(scores, seed=4).p_low, split_by_gaussians(scores, seed=4).p_low
    )
    order = rng.permutation(500)
    np.testing.assert_allclose(
        split_by_gaussians(scores[order]).p_low, split_by_gaussians(scores).p_low[order], atol=1e-3
    )


def test_equal_scores_are_one_kind() -> None:
    split = split_by_gaussians(np.full(10, 0.3))
    assert not split.separated
    np.testing.assert_array_equal(split.p_low, 0.5)


@pytest.mark.parametrize("bad", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, np.nan]])
def test_too_few_or_infinite_scores_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        split_by_gaussians(np.array(bad))
