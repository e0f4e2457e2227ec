"""How good a probability or a ranking is, given the truth.

Separate from calibration, which never sees the truth. Scores are high for a mismatch.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Floats

N_BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs whose probability is in one interval.

    Attributes:
        low: Lower end of the interval, excluded but for 0.
        high: Upper end of the interval, included.
        n_pairs: Number of pairs.
        mean_p: Mean of their probabilities; NaN without pairs.
        mismatch_rate: Share of mismatches among them; NaN without pairs.
    """

    low: float
    high: float
    n_pairs: int
    mean_p: float
    mismatch_rate: float


def reliability_table(
    p_mismatch: Floats, is_mismatch: Bools, *, n_bins: int = N_BINS
) -> tuple[ReliabilityBin, ...]:
    """Return what became of the pairs in bins of equal width, empty ones included.

    Args:
        p_mismatch: Probabilities in [0, 1], shape (n,).
        is_mismatch: The truth, shape (n,).
        n_bins: Number of bins.

    Raises:
        ValueError: If the shapes differ, there are no pairs, or p is outside [0, 1].
    """
    _check(p_mismatch, is_mismatch)
    if not ((p_mismatch >= 0) & (p_mismatch <= 1)).all():
        raise ValueError("p_mismatch must be in [0, 1]")
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    bins = np.searchsorted(edges[1:-1], p_mismatch)
    counts = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_p = np.bincount(bins, p_mismatch, minlength=n_bins) / counts
        rate = np.bincount(bins, is_mismatch, minlength=n_bins) / counts
    rows = zip(edges[:-1], edges[1:], counts, mean_p, rate, strict=True)
    return tuple(
        ReliabilityBin(float(low), float(high), int(n_pairs), float(mean), float(share))
        for low, high, n_pairs, mean, share in rows
    )


def expected_calibration_error(
    p_mismatch: Floats, is_mismatch: Bools, *, n_bins: int = N_BINS
) -> float:
    """Return the mean gap in [0, 1] between probability and rate, over bins of equal width.

    Source:
        Guo et al., ICML 2017, arXiv:1706.04599, with P(mismatch) for the confidence.
    """
    table = reliability_table(p_mismatch, is_mismatch, n_bins=n_bins)
    gaps = (row.n_pairs * abs(row.mean_p - row.mismatch_rate) for row in table if row.n_pairs > 0)
    return sum(gaps) / p_mismatch.size


def brier_score(p_mismatch: Floats, is_mismatch: Bools) -> float:
    """Return the mean square distance of probability and truth, in [0, 1]."""
    _check(p_mismatch, is_mismatch)
    return float(np.mean((p_mismatch - is_mismatch) ** 2))


def precision_at_k(score: Floats, is_mismatch: Bools, *, k: int) -> float:
    """Return the share of mismatches among the k highest scores.

    Among pairs that tie for the last places, the expected share of a random choice counts.

    Raises:
        ValueError: If k is not in [1, n] or the shapes differ.
    """
    _check(score, is_mismatch)
    if not 1 <= k <= score.size:
        raise ValueError(f"k must be in [1, {score.size}], not {k}")
    last = np.partition(score, score.size - k)[score.size - k]
    above, tied = score > last, score == last
    n_open = k - int(above.sum())
    return float((is_mismatch[above].sum() + n_open * is_mismatch[tied].mean()) / k)


def recall_at_precision(score: Floats, is_mismatch: Bools, *, precision: float) -> float:
    """Return the largest share of mismatches found by a threshold of at least this precision.

    Returns:
        Recall in [0, 1]; 0 if no threshold is that precise. Ties stand or fall together.

    Raises:
        ValueError: If there are no mismatches or the shapes differ.
    """
    _check(score, is_mismatch)
    n_mismatches = int(is_mismatch.sum())
    if n_mismatches == 0:
        raise ValueError("recall needs a mismatch at least")
    order = np.argsort(-score, kind="stable")
    found = is_mismatch[order].cumsum()
    n_flagged = np.arange(1, score.size + 1)
    ends_tie = np.append(np.diff(score[order]) != 0, np.True_)
    precise = ends_tie & (found >= precision * n_flagged)
    return float(found[precise].max(initial=0) / n_mismatches)


def _check(score: Floats, is_mismatch: Bools) -> None:
    if score.shape != is_mismatch.shape or score.ndim != 1 or score.size == 0:
        raise ValueError(f"{score.shape} scores for {is_mismatch.shape} truths")
    if np.isnan(score).any():
        raise ValueError("scores must not be NaN")
