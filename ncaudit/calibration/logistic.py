"""Logistic regression whose slopes cannot be negative, shrunk toward a given model.

Separate from the monotone combiner, which bends each signal: this one has one slope for
each column, few enough for a few hundred labels.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from ncaudit.types import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prior:
    """The model that the regression is shrunk toward, and how strongly.

    Attributes:
        slopes: Slopes shrunk toward, >= 0, shape (s,).
        slope_penalty: Weight of half the squared distance of each slope, in labels.
        offset: Offset shrunk toward.
        offset_penalty: The same for the offset; 0 leaves it free.
    """

    slopes: Floats
    slope_penalty: float
    offset: float = 0.0
    offset_penalty: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class NonNegativeLogistic:
    """A fitted line in the log odds.

    Attributes:
        slopes: At least 0, shape (s,).
        offset: Log odds where all columns are 0.
    """

    slopes: Floats
    offset: float

    def score(self, columns: Floats) -> Floats:
        """Return the log odds, shape (n,), for columns of shape (n, s)."""
        odds: Floats = columns @ self.slopes + self.offset
        return odds


def fit_nonnegative_logistic(
    columns: Floats, target: Floats, weight: Floats, prior: Prior
) -> NonNegativeLogistic:
    """Fit the slopes and the offset by penalised maximum likelihood.

    Args:
        columns: Finite, shape (m, s).
        target: In [0, 1], shape (m,).
        weight: Positive weight of each row, shape (m,). They are scaled to sum to the
            effective number of rows, (sum w)^2 / sum w^2, so that rows of unequal weight
            outvote the prior no more than their information does.
        prior: What is shrunk toward.

    Source:
        Effective number: Kish, "Survey Sampling", 1965.
    """
    scaled = weight * (weight.sum() / (weight @ weight))
    centre = np.append(prior.slopes, prior.offset)
    strength = np.append(np.full(columns.shape[1], prior.slope_penalty), prior.offset_penalty)
    design = np.column_stack([columns, np.ones(len(columns))])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logit, away = design @ parameters, parameters - centre
        value = scaled @ (np.logaddexp(0.0, logit) - target * logit) + strength @ away**2 / 2
        return float(value), design.T @ (scaled * (expit(logit) - target)) + strength * away

    # Products this small cost more to share between threads than to compute.
    with threadpool_limits(1):
        result = scipy.optimize.minimize(
            loss,
            centre,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, None)] * columns.shape[1] + [(None, None)],
            options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7},
        )
    return NonNegativeLogistic(result.x[:-1], float(result.x[-1]))
