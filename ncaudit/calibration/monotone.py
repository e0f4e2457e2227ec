"""A logistic model whose score never falls when a signal speaks more for a mismatch.

Each signal passes through a piecewise-linear function with slopes that cannot be
negative; the score is their sum. So the combination can bend to each signal's shape, but
cannot turn any of them around.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from ncaudit.types import Floats

KNOT_QUANTILES = (0.005, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.995)


@dataclass(frozen=True, slots=True, eq=False)
class MonotoneModel:
    """A fitted sum of non-decreasing functions, one per signal.

    Attributes:
        knots: Where the slopes change, shape (s, k), rising along each row.
        slopes: Slope between neighbouring knots, >= 0, shape (s, k - 1).
        bias: Constant.
    """

    knots: Floats
    slopes: Floats
    bias: float

    def score(self, signals: Floats) -> Floats:
        """Return the log odds of a mismatch, shape (n,), for signals of shape (n, s).

        Beyond the outer knots a signal counts as the outer knot.
        """
        contribution: Floats = self.contributions(signals).sum(1) + self.bias
        return contribution

    def contributions(self, signals: Floats) -> Floats:
        """Return what each signal adds to the score, shape (n, s)."""
        added: Floats = np.einsum("nsk,sk->ns", _segments(signals, self.knots), self.slopes)
        return added


def fit_monotone(
    signals: Floats, is_mismatch: Floats, weight: Floats, *, penalty: float = 1.0
) -> MonotoneModel:
    """Fit the model by penalised logistic regression with bounded slopes.

    Args:
        signals: High speaks for a mismatch, finite, shape (n, s).
        is_mismatch: Target in [0, 1], shape (n,).
        weight: Weight of each row, shape (n,).
        penalty: Weight of the squared change that each segment makes; keeps few rows
            from bending the functions.
    """
    knots = _knots(signals)
    segments = _segments(signals, knots)
    lengths = np.maximum(np.diff(knots, axis=1), 1e-9)
    design = (segments / lengths).reshape(len(signals), -1)
    start = np.append(np.full(design.shape[1], 0.1), 0.0)
    bounds = [(0.0, None)] * design.shape[1] + [(None, None)]
    # Products this small cost more to share between threads than to compute.
    with threadpool_limits(1):
        result = scipy.optimize.minimize(
            _loss,
            start,
            args=(design, is_mismatch, weight / weight.sum() * len(weight), penalty),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 200, "ftol": 1e-8},
        )
    rises = result.x[:-1].reshape(lengths.shape)
    return MonotoneModel(knots, rises / lengths, float(result.x[-1]))


def _loss(
    parameters: Floats, design: Floats, target: Floats, weight: Floats, penalty: float
) -> tuple[float, Floats]:
    rises, bias = parameters[:-1], parameters[-1]
    logit = design @ rises + bias
    # Divided by n, so that the optimiser's tolerances mean the same for any n.
    n = len(design)
    loss = weight @ (np.logaddexp(0, logit) - target * logit) + penalty * rises @ rises / 2
    residual = weight * (expit(logit) - target)
    slope = np.append(design.T @ residual + penalty * rises, residual.sum())
    return float(loss) / n, slope / n


def _knots(signals: Floats) -> Floats:
    """Return rising knots at fixed quantiles; equal ones are pulled apart by a hair."""
    knots = np.quantile(signals, KNOT_QUANTILES, axis=0).T
    span = np.maximum(knots[:, -1:] - knots[:, :1], 1e-6)
    apart: Floats = knots + span * 1e-6 * np.arange(knots.shape[1])
    return apart


def _segments(signals: Floats, knots: Floats) -> Floats:
    """Return how far each signal has gone into each segment, shape (n, s, k - 1)."""
    into: Floats = np.clip(
        signals[:, :, None] - knots[None, :, :-1], 0.0, np.diff(knots, axis=1)[None]
    )
    return into
