"""A mixture of two Beta distributions over similarities in [0, 1]: noisy and clean pairs.

Separate from MSCN, because NCR-like splits use it as well.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ncaudit.types import Floats

_EDGE = 1e-3  # a Beta density may be infinite at 0 and 1
_LEAST_VARIANCE = 1e-6
_LEAST_SHAPE = 1e-2
_LEAST_WEIGHT = 1e-6
_MEANS_STEPS = 20


@dataclass(frozen=True, slots=True)
class Beta:
    """A Beta distribution.

    Attributes:
        alpha: First shape parameter, > 0.
        beta: Second shape parameter, > 0.
    """

    alpha: float
    beta: float

    @classmethod
    def from_moments(cls, scores: Floats, weights: Floats | None = None) -> Self:
        """Return the distribution with the (weighted) mean and variance of `scores`.

        Scores are kept off 0 and 1, the variance and both shapes off 0, so that the result
        is finite for any scores, equal ones included.
        """
        inside = _inside(scores)
        mean = float(np.average(inside, weights=weights))
        variance = float(np.average((inside - mean) ** 2, weights=weights))
        strength = mean * (1 - mean) / max(variance, _LEAST_VARIANCE) - 1
        alpha, beta = mean * strength, (1 - mean) * strength
        return cls(max(alpha, _LEAST_SHAPE), max(beta, _LEAST_SHAPE))

    @property
    def mean(self) -> float:
        """The mean of the distribution."""
        return self.alpha / (self.alpha + self.beta)

    def log_density(self, scores: Floats) -> Floats:
        """Return the log density at scores in [0, 1], shape (n,)."""
        inside = _inside(scores)
        log_norm = math.lgamma(self.alpha) + math.lgamma(self.beta)
        log_norm -= math.lgamma(self.alpha + self.beta)
        density: Floats = (
            (self.alpha - 1) * np.log(inside) + (self.beta - 1) * np.log1p(-inside) - log_norm
        )
        return density


@dataclass(frozen=True, slots=True)
class BetaMixture:
    """Two Beta distributions in the order of their means.

    Attributes:
        low: Noisy pairs.
        high: Clean pairs.
        high_weight: Share of clean pairs, in (0, 1).
    """

    low: Beta
    high: Beta
    high_weight: float = 0.5

    def posterior(self, scores: Floats) -> Floats:
        """Return the probability of the clean component at scores in [0, 1], shape (n,)."""
        low, high = self._joint(scores)
        posterior: Floats = np.exp(high - np.logaddexp(low, high))
        return posterior

    def log_likelihood(self, scores: Floats) -> float:
        """Return the sum of the log densities at scores in [0, 1]."""
        return float(np.logaddexp(*self._joint(scores)).sum())

    def _joint(self, scores: Floats) -> tuple[Floats, Floats]:
        weight = min(max(self.high_weight, _LEAST_WEIGHT), 1 - _LEAST_WEIGHT)
        low = math.log1p(-weight) + self.low.log_density(scores)
        return low, math.log(weight) + self.high.log_density(scores)


def reference_mixture(low_scores: Floats, high_scores: Floats) -> BetaMixture:
    """Return the equal mixture with the moments of known mismatches and of trusted pairs."""
    return _ordered(Beta.from_moments(low_scores), Beta.from_moments(high_scores), 0.5)


def expectation_maximisation_step(mixture: BetaMixture, scores: Floats) -> BetaMixture:
    """Return the mixture after one step; the M-step matches moments.

    A component that no score belongs to stays as it is.
    """
    high = mixture.posterior(scores)
    parts = []
    for component, responsibility in ((mixture.low, 1 - high), (mixture.high, high)):
        is_empty = responsibility.sum() < _LEAST_WEIGHT
        parts.append(component if is_empty else Beta.from_moments(scores, responsibility))
    return _ordered(parts[0], parts[1], float(high.mean()))


def fit_beta_mixture(
    scores: Floats,
    *,
    initial: BetaMixture | None = None,
    max_iterations: int = 10,
    tolerance: float = 1e-2,
) -> BetaMixture:
    """Fit two Beta distributions to scores by expectation and moment matching.

    Args:
        scores: Similarities in [0, 1], shape (n,); kept 1e-3 off the ends.
        initial: Where to start, see `reference_mixture`; None starts from the scores
            parted by two means.
        max_iterations: Steps at most.
        tolerance: Stop when a step changes the log likelihood by less than this.

    Returns:
        The fitted mixture, components in the order of their means. Two components are
        fitted to scores of one kind too: test for that elsewhere.

    Raises:
        ValueError: If there are no scores, or some are outside [0, 1] or NaN.

    Source:
        Han et al., CVPR 2023, arXiv:2304.06275 (MSCN, data purification). Checked by
        reading hhc1997/MSCN@0046324 (MIT). The mixture is that of Arazo et al., ICML 2019.

    Differs from the source:
        Bounds on variance, shapes and weights, where released code can return NaN. Moment
        matching may lose likelihood, so the best mixture on the way is returned. Components
        are ordered by mean after every step.
    """
    if scores.size == 0 or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be in [0, 1], and one at least")
    mixture = best = _start(scores) if initial is None else initial
    likelihood = highest = mixture.log_likelihood(scores)
    for _ in range(max_iterations):
        previous = likelihood
        mixture = expectation_maximisation_step(mixture, scores)
        likelihood = mixture.log_likelihood(scores)
        if likelihood > highest:
            best, highest = mixture, likelihood
        if abs(likelihood - previous) < tolerance:
            break
    return best


def _start(scores: Floats) -> BetaMixture:
    cut = float(scores.mean())
    for _ in range(_MEANS_STEPS):
        low, high = scores[scores <= cut], scores[scores > cut]
        if not (low.size and high.size):
            break
        cut = (float(low.mean()) + float(high.mean())) / 2
    low, high = scores[scores <= cut], scores[scores > cut]
    return reference_mixture(low if low.size else scores, high if high.size else scores)


def _ordered(first: Beta, second: Beta, second_weight: float) -> BetaMixture:
    if first.mean > second.mean:
        return BetaMixture(second, first, 1 - second_weight)
    return BetaMixture(first, second, second_weight)


def _inside(scores: Floats) -> Floats:
    return np.clip(scores.astype(np.float64), _EDGE, 1 - _EDGE)
