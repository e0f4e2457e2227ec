"""Signals of any unit and tail on one bounded scale: normal scores of their ranks."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ncaudit.types import Floats

_LEVELS = np.linspace(0.005, 0.995, 100)


@dataclass(frozen=True, slots=True, eq=False)
class NormalScores:
    """A rising, bounded function for each signal.

    Attributes:
        knots: Values of each signal, rising strictly, one array of shape (k,) for each.
        scores: Normal score at each knot, of the same shapes.
    """

    knots: tuple[Floats, ...]
    scores: tuple[Floats, ...]

    def at(self, signals: Floats) -> Floats:
        """Return scores within +-2.58, shape (n, s); beyond the knots that of the last."""
        columns = zip(signals.T, self.knots, self.scores, strict=True)
        return np.stack([np.interp(*column) for column in columns], axis=1)


def fit_normal_scores(signals: Floats) -> NormalScores:
    """Fit to the ranks of signals, shape (n, s); equal values share their mean score.

    A signal that never varies scores 0 everywhere.

    Source:
        Van der Waerden, "Order tests for the two-sample problem", 1952.
    """
    levels = ndtri(_LEVELS)
    knots, scores = [], []
    for quantiles in np.quantile(signals, _LEVELS, axis=0).T:
        values, which, counts = np.unique(quantiles, return_inverse=True, return_counts=True)
        knots.append(values)
        scores.append(np.bincount(which, levels) / counts)
    return NormalScores(tuple(knots), tuple(scores))
