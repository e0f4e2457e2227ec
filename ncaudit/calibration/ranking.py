"""AUROC and average precision of a ranking, with bootstrap intervals over images.

Separate from `metrics`: everything here is computed for many weightings of the pairs at
once, because resampling images is weighting their pairs.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Floats, Ints

_CHUNK_CELLS = 1 << 21  # weights handled at a time: 16 MB of float64


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """AUROC and average precision, one value for each weighting of the pairs.

    Attributes:
        auroc: Shape (r,), in [0, 1].
        average_precision: Shape (r,), in [0, 1].
    """

    auroc: Floats
    average_precision: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Points of the ROC and the precision-recall curve on a fixed grid.

    Attributes:
        false_positive_rate: Squares of the grid, which are dense where it matters, (g,).
        true_positive_rate: At each false positive rate, shape (g,).
        recall: The grid, shape (g,).
        precision: At each recall, shape (g,); at recall 0 that of the highest scores.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    recall: Floats
    precision: Floats


def resample_images(image: Ints, *, n_resamples: int, seed: int) -> Floats:
    """Return how often each pair is in each bootstrap sample of images.

    Args:
        image: Number of each pair's image from 0, shape (n,).
        n_resamples: Number of samples r.
        seed: Decides the draws.

    Returns:
        Counts, shape (r, n), float32.
    """
    n_images = int(image.max()) + 1
    rng = np.random.default_rng([seed, 1001])
    draws = rng.integers(n_images, size=(n_resamples, n_images))
    counts = np.stack([np.bincount(draw, minlength=n_images) for draw in draws])
    weights: Floats = counts.astype(np.float32)[:, image]
    return weights


def weighted_ranking(score: Floats, is_mismatch: Bools, weights: Floats) -> Ranking:
    """Return AUROC and average precision under each weighting.

    Tied scores stand together: they count half in the AUROC, and as one step in the
    average precision.

    Args:
        score: High for a mismatch, shape (n,).
        is_mismatch: The truth, shape (n,).
        weights: Weight of each pair, shape (r, n).

    Returns:
        NaN for a weighting that leaves no mismatch or no matched pair.
    """
    order, starts = _tie_groups(score)
    wrong = is_mismatch[order]
    rows = max(1, _CHUNK_CELLS // score.size)
    auroc, precision = np.empty(len(weights)), np.empty(len(weights))
    for at in range(0, len(weights), rows):
        chunk = weights[at : at + rows, order].astype(np.float64)
        positive = np.add.reduceat(chunk * wrong, starts, axis=1)
        negative = np.add.reduceat(chunk * ~wrong, starts, axis=1)
        auroc[at : at + rows], precision[at : at + rows] = _areas(positive, negative)
    return Ranking(auroc, precision)


def curves(score: Floats, is_mismatch: Bools, grid: Floats) -> Curves:
    """Return both curves of one ranking at the points of `grid`, ascending in [0, 1].

    Precision at a recall is the best at that recall or more.

    Raises:
        ValueError: If all pairs are mismatches, or none.
    """
    if is_mismatch.all() or not is_mismatch.any():
        raise ValueError("curves need mismatches and matched pairs")
    order, starts = _tie_groups(score)
    wrong = is_mismatch[order]
    found = np.add.reduceat(wrong, starts, dtype=np.int64).cumsum()
    lost = np.add.reduceat(~wrong, starts, dtype=np.int64).cumsum()
    recall = found / found[-1]
    best = np.maximum.accumulate((found / (found + lost))[::-1])[::-1]
    at = np.minimum(np.searchsorted(recall, grid), len(recall) - 1)
    rates = np.interp(grid**2, np.append(0, lost / lost[-1]), np.append(0, recall))
    return Curves(grid**2, rates, grid, best[at])


def _tie_groups(score: Floats) -> tuple[Ints, Ints]:
    """Return the order of falling scores, and where each group of equal ones starts."""
    order = np.argsort(-score, kind="stable")
    return order, np.flatnonzero(np.diff(score[order], prepend=np.inf) != 0)


def _areas(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Return AUROC and average precision from weights per group of equal scores, (r, g)."""
    found, lost = positive.cumsum(1), negative.cumsum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        before = found - positive / 2
        auroc = (negative * before).sum(1) / (found[:, -1] * lost[:, -1])
        precision = found / (found + lost)
        area = np.where(positive > 0, positive * precision, 0.0).sum(1) / found[:, -1]
    single = np.where(lost[:, -1] > 0, area, np.nan)
    return auroc, single
