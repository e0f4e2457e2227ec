"""Label-free calibration: observed pairs against mismatches planted among them.

Observed pairs are a mixture of matched and mismatched ones; planted pairs are mismatched
by construction. The share of the mixture that behaves like the planted pairs is the noise
rate, and what it leaves over is what matched pairs look like.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ncaudit.calibration.local_fdr import NullShare, estimate_null_share
from ncaudit.calibration.monotone import MonotoneModel, fit_monotone
from ncaudit.types import Floats, Ints

_LEAST_SHARE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class TwoGroups:
    """A calibrated combination of signals.

    Attributes:
        names: Signals in order.
        centre: Median of each signal over planted pairs, shape (s,).
        scale: Robust deviation of each signal over planted pairs, shape (s,).
        model: Log of the density ratio of mismatched to matched pairs.
        share: Estimated share of mismatched pairs among the observed, in (0, 1).
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    model: MonotoneModel
    share: float

    def p_mismatch(self, signals: Floats) -> Floats:
        """Return P(mismatch), shape (n,), rising with every signal of shape (n, s)."""
        p: Floats = expit(logit(self.share) + self.model.score(self._standard(signals)))
        return p

    def contributions(self, signals: Floats) -> Floats:
        """Return what each signal adds to the log odds, shape (n, s)."""
        return self.model.contributions(self._standard(signals))

    def _standard(self, signals: Floats) -> Floats:
        standard: Floats = (signals - self.centre) / self.scale
        return standard


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Signals of observed and planted pairs, high speaking for a mismatch.

    A pair that took part in several runs has one row for each.

    Attributes:
        names: Signals in order.
        observed: Shape (n, s).
        pair: Observed pair of each row, shape (n,).
        planted: Shape (m, s).
    """

    names: tuple[str, ...]
    observed: Floats
    pair: Ints
    planted: Floats

    @property
    def weight(self) -> Floats:
        """Weight of each observed row, so that every pair counts once, shape (n,)."""
        rows_of_pair = np.bincount(self.pair)
        weight: Floats = 1.0 / rows_of_pair[self.pair]
        return weight


def fit_two_groups(
    evidence: Evidence, *, penalty: float = 1.0, n_iterations: int = 2
) -> TwoGroups:
    """Fit the combination and the share, without labels.

    First a monotone logistic regression tells planted from observed pairs. Then, a few
    times over, observed pairs are weighted by how likely they are matched, so that the
    same regression learns mismatched against matched.

    Args:
        evidence: Signals of observed and planted pairs.
        penalty: See `fit_monotone`.
        n_iterations: How often the weights are renewed.

    Source:
        The two-group model and local fdr: Efron, JASA 2004; learning from positive and
        unlabelled data: Elkan and Noto, KDD 2008.
    """
    centre = np.median(evidence.planted, axis=0)
    scale = 1.4826 * np.median(np.abs(evidence.planted - centre), axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    observed, planted = (evidence.observed - centre) / scale, (evidence.planted - centre) / scale
    signals = np.concatenate([observed, planted])
    is_mismatch = np.append(np.zeros(len(observed)), np.ones(len(planted)))
    weight = evidence.weight
    model = _fit(signals, is_mismatch, weight, penalty)
    share = _share(model, observed, planted)
    p = np.clip(share * np.exp(model.score(observed)), 0.0, 1.0 - _LEAST_SHARE)
    for _ in range(n_iterations):
        model = _fit(signals, is_mismatch, weight * (1.0 - p), penalty)
        share = _share(model, observed, planted)
        p = expit(logit(share) + model.score(observed))
    return TwoGroups(evidence.names, centre, scale, model, share)


def resample(evidence: Evidence, group: Ints, *, n_resamples: int, seed: int) -> list[TwoGroups]:
    """Fit again on bootstrap resamples over groups of pairs, for intervals.

    Args:
        evidence: Signals of observed and planted pairs.
        group: Group of each observed pair, e.g. its image, shape (pairs,).
        n_resamples: Number of fits.
        seed: Decides the draws.
    """
    rng = np.random.default_rng([seed, 5])
    order = np.argsort(group[evidence.pair], kind="stable")
    starts = np.append(
        np.flatnonzero(np.diff(group[evidence.pair][order], prepend=-1)), len(order)
    )
    fits = []
    for _ in range(n_resamples):
        drawn = rng.integers(0, len(starts) - 1, len(starts) - 1)
        rows = [order[starts[each] : starts[each + 1]] for each in drawn]
        # A group drawn twice is two groups, so that each counts.
        copies = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        joined = np.concatenate(rows)
        _, pair = np.unique(np.stack([copies, evidence.pair[joined]]), axis=1, return_inverse=True)
        planted = evidence.planted[rng.integers(0, len(evidence.planted), len(evidence.planted))]
        again = Evidence(evidence.names, evidence.observed[joined], pair.ravel(), planted)
        fits.append(fit_two_groups(again, n_iterations=1))
    return fits


def share_interval(whole: TwoGroups, fits: list[TwoGroups]) -> NullShare:
    """Return the share with the interval that resampled fits give."""
    shares = [fit.share for fit in fits]
    low, high = np.quantile(shares, [0.1, 0.9])
    return NullShare(whole.share, min(float(low), whole.share), max(float(high), whole.share))


def _fit(signals: Floats, is_mismatch: Floats, weight: Floats, penalty: float) -> MonotoneModel:
    """Regress with both groups weighing the same."""
    n_planted = len(signals) - len(weight)
    balanced = np.append(weight / weight.sum(), np.full(n_planted, 1.0 / n_planted))
    return fit_monotone(signals, is_mismatch, balanced, penalty=penalty)


def _share(model: MonotoneModel, observed: Floats, planted: Floats) -> float:
    share = estimate_null_share(
        -model.score(observed),
        -model.score(planted),
        rng=np.random.default_rng(0),
        n_bootstrap=0,
    )
    return float(np.clip(share.estimate, _LEAST_SHARE, 1.0 - _LEAST_SHARE))
