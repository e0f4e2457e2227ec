"""The probability of a mismatch without labels: observed pairs against known mismatches.

Separate from the combiner, which makes one score of many signals; here the score is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ncaudit.types import Floats

NULL_QUANTILES = (0.3, 0.4, 0.5, 0.6, 0.7)
_LEAST_DENSITY = 1e-300
_N_BINS = 2000  # of the bootstrap: quantiles of the null to 0.05 %


def local_fdr(null_density: Floats, observed_density: Floats, *, null_share: float) -> Floats:
    """Return P(mismatch) = pi f0 / f of the two-group model.

    Args:
        null_density: f0 at every pair: density of the known mismatches, >= 0, shape (n,).
        observed_density: f at every pair: density of all observed pairs, >= 0, shape (n,).
        null_share: pi, share of mismatches among the observed pairs, in [0, 1].

    Returns:
        Probabilities in [0, 1], shape (n,).

    Source:
        Efron et al., JASA 2001 (local false discovery rate).
    """
    ratio = null_density / np.maximum(observed_density, _LEAST_DENSITY)
    probability: Floats = np.clip(null_share * ratio, 0.0, 1.0)
    return probability


def local_fdr_from_classifier(
    p_observed: Floats, *, null_share: float, observed_per_null: float = 1.0
) -> Floats:
    """Return P(mismatch) from a classifier that tells observed pairs from known mismatches.

    Args:
        p_observed: g, the classifier's probability that a pair is an observed one, in
            [0, 1], out of sample, shape (n,).
        null_share: pi, share of mismatches among the observed pairs, in [0, 1].
        observed_per_null: Observed pairs for every known mismatch in the classifier's
            training, by weight.

    Returns:
        clip(pi (1 - g) / g, 0, 1), times `observed_per_null` before the clip, shape (n,).

    Source:
        f0 / f as the odds of a classifier: see Efron, "Large-Scale Inference", 2010, ch. 5.
    """
    return local_fdr((1.0 - p_observed) * observed_per_null, p_observed, null_share=null_share)


@dataclass(frozen=True, slots=True)
class NullShare:
    """The estimated share of mismatches.

    Attributes:
        estimate: pi in [0, 1].
        low: 10 % end of its bootstrap interval.
        high: 90 % end of its bootstrap interval.
    """

    estimate: float
    low: float
    high: float


def estimate_null_share(
    observed: Floats,
    null: Floats,
    *,
    rng: np.random.Generator,
    quantiles: Sequence[float] = NULL_QUANTILES,
    n_bootstrap: int = 200,
) -> NullShare:
    """Estimate which share of the observed pairs are mismatches.

    Below a score under which hardly any matched pair falls, the observed pairs hold pi
    times what the known mismatches hold. The median over several such scores is taken.

    Args:
        observed: Scores of the observed pairs, low for a mismatch, shape (n,).
        null: Scores of the known mismatches, shape (m,).
        rng: Draws the bootstrap.
        quantiles: Quantiles of `null` that serve as thresholds, in (0, 1).
        n_bootstrap: Number of resamples; 0 for an interval of one point.

    Returns:
        Estimate and interval. The interval is of sampling only; it does not know of
        mismatches that are unlike the known ones.

    Raises:
        ValueError: If there are no scores on a side, or some are NaN.

    Source:
        Storey, JRSS B 2002 (share of true nulls), with sampled nulls for p-values.
    """
    if not observed.size or not null.size or np.isnan(observed).any() or np.isnan(null).any():
        raise ValueError("scores of both kinds are needed, none of them NaN")
    thresholds = np.quantile(null, quantiles)
    below_observed = np.searchsorted(np.sort(observed), thresholds, side="right")
    below_null = np.searchsorted(np.sort(null), thresholds, side="right")
    shares = (below_observed / observed.size) / (below_null / null.size)
    estimate = float(np.clip(np.median(shares), 0.0, 1.0))
    if n_bootstrap == 0:
        return NullShare(estimate, estimate, estimate)
    resampled = _bootstrap_shares(observed, null, quantiles, n_bootstrap, rng)
    low, high = np.quantile(resampled, (0.1, 0.9))
    return NullShare(estimate, min(float(low), estimate), max(float(high), estimate))


def _bootstrap_shares(
    observed: Floats,
    null: Floats,
    quantiles: Sequence[float],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Floats:
    """Return estimates from resampled bin counts, which cost the same for any n."""
    edges = np.unique(np.quantile(null, np.linspace(0, 1, _N_BINS + 1)))
    n_bins = edges.size + 1
    null_counts = np.bincount(np.searchsorted(edges, null), minlength=n_bins)
    observed_counts = np.bincount(np.searchsorted(edges, observed), minlength=n_bins)
    shares = np.empty(n_bootstrap)
    for index in range(n_bootstrap):
        null_below = rng.multinomial(null.size, null_counts / null.size).cumsum() / null.size
        drawn = rng.multinomial(observed.size, observed_counts / observed.size)
        observed_below = drawn.cumsum() / observed.size
        bins = np.searchsorted(null_below, quantiles)
        shares[index] = np.median(observed_below[bins] / null_below[bins])
    return shares.clip(0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class FallingCurve:
    """A probability that never rises with the score, straight between its knots.

    Attributes:
        scores: Scores of the knots, ascending, shape (k,).
        values: Probabilities at the knots, descending, in [0, 1], shape (k,).
    """

    scores: Floats
    values: Floats

    def at(self, score: Floats) -> Floats:
        """Return the probability at any scores; beyond the knots that of the last one."""
        probability: Floats = np.interp(score, self.scores, self.values)
        return probability


def fit_falling_curve(p: Floats, score: Floats) -> FallingCurve:
    """Return the curve nearest to `p` in squares that never rises with the score (PAVA).

    Args:
        p: Probabilities of a mismatch, in [0, 1], shape (n,).
        score: Scores, low for a mismatch, shape (n,).

    Raises:
        ValueError: If the shapes differ or a value is NaN.

    Source:
        Pool adjacent violators: Barlow et al., 1972; scikit-learn's IsotonicRegression.
    """
    from sklearn.isotonic import IsotonicRegression

    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=False)
    isotonic.fit(score.astype(np.float64), p.astype(np.float64))
    return FallingCurve(isotonic.X_thresholds_, isotonic.y_thresholds_)
