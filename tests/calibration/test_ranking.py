import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ncaudit.calibration import ranking as module
from ncaudit.calibration.ranking import curves, resample_images, weighted_ranking


def scores_and_truth(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return scores with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    truth[:2] = [True, False]
    return np.round(rng.normal(size=n) + truth, 1), truth


@settings(deadline=None)
@given(seed=st.integers(0, 100))
def test_unit_weights_give_what_sklearn_gives(seed: int) -> None:
    score, truth = scores_and_truth(seed)
    found = weighted_ranking(score, truth, np.ones((1, 60)))
    assert found.auroc[0] == pytest.approx(roc_auc_score(truth, score))
    assert found.average_precision[0] == pytest.approx(average_precision_score(truth, score))


@settings(deadline=None)
@given(seed=st.integers(0, 100))
def test_a_weight_is_a_number_of_copies(seed: int) -> None:
    score, truth = scores_and_truth(seed)
    counts = np.random.default_rng(seed).integers(0, 4, 60)
    counts[:2] = 1
    found = weighted_ranking(score, truth, counts[None].astype(np.float32))
    copies = np.repeat(np.arange(60), counts)
    assert found.auroc[0] == pytest.approx(roc_auc_score(truth[copies], score[copies]))
    assert found.average_precision[0] == pytest.approx(
        average_precision_score(truth[copies], score[copies])
    )


def test_chunks_of_weightings_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    score, truth = scores_and_truth(0)
    weights = resample_images(np.arange(60) // 3, n_resamples=9, seed=0)
    whole = weighted_ranking(score, truth, weights)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 100)
    assert (weighted_ranking(score, truth, weights).auroc == whole.auroc).all()


def test_a_sample_without_mismatches_has_no_auroc() -> None:
    weights = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = weighted_ranking(np.array([1.0, 0.0]), np.array([True, False]), weights)
    assert np.isnan(found.auroc).all()
    assert np.isnan(found.average_precision).all()


def test_pairs_of_an_image_are_resampled_together() -> None:
    image = np.array([0, 1, 1, 2, 2, 2])
    weights = resample_images(image, n_resamples=50, seed=0)
    assert weights.shape == (50, 6)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()


def test_the_roc_curve_goes_through_sklearns_points() -> None:
    score, truth = scores_and_truth(3)
    false_rate, true_rate, _ = roc_curve(truth, score)
    grid = np.linspace(0, 1, 21)
    # np.interp takes the last of points above each other; so does the curve.
    expected = np.interp(grid**2, false_rate, true_rate)
    assert curves(score, truth, grid).true_positive_rate == pytest.approx(expected)


def test_precision_by_recall_of_four_pairs() -> None:
    found = curves(
        np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False]), np.array([0, 0.5, 1])
    )
    assert found.precision.tolist() == pytest.approx([1.0, 1.0, 2 / 3])


@pytest.mark.parametrize("truth", [np.zeros(3, bool), np.ones(3, bool)])
def test_curves_need_both_kinds(truth: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mismatches and matched"):
        curves(np.arange(3.0), truth, np.array([0.5]))
