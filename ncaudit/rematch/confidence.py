"""How often a proposal with such evidence is right, learned from hidden pairs.

Flagged images are a mixture: of some the true caption is in the pool, of the others it is
not. Probes show what evidence looks like in both cases; the share at which their mixture
looks like the flagged ones is the recoverable share, and on that mixture the calibration is
fitted.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ncaudit.calibration.monotone import MonotoneModel, fit_monotone
from ncaudit.types import Bools, Floats, Ints

_GUESS_DEVIATION = 0.25  # how far the recoverable share may be from a first guess
# Flagged and kept pairs may differ in other ways, by this much of a classifier's deviation.
_UNLIKE = 0.1
_PENALTY = 4.0  # few proposals are right where retrieval is weak: the functions stay simple
_LEAST_SHARE = 0.01
_N_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class HiddenPairs:
    """What came of n probes.

    Attributes:
        evidence: High speaks for the proposal, shape (n, s).
        weight: How surely the pair belongs together, 1 - p_mismatch, shape (n,).
        image_id: Probes of one image are not independent, shape (n,).
        is_present: Whether the true caption was in the pool, shape (n,).
        is_right: Whether it was the one proposed, shape (n,).
    """

    evidence: Floats
    weight: Floats
    image_id: Ints
    is_present: Bools
    is_right: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Confidence:
    """A fitted calibration of proposals.

    Attributes:
        model: Log odds that a proposal is wrong, from evidence turned around.
        share: Estimated share of flagged images whose true caption is in the pool.
        deviation: Standard deviation of that estimate.
    """

    model: MonotoneModel
    share: float
    deviation: float

    def of(self, evidence: Floats) -> Floats:
        """Return P(the proposal is right), shape (n,), rising with evidence of shape (n, s)."""
        right: Floats = expit(-self.model.score(-evidence))
        return right


def fit_confidence(
    hidden: HiddenPairs, flagged: Floats, *, guess: float, most: float
) -> Confidence:
    """Estimate the recoverable share and calibrate on probes mixed accordingly.

    Args:
        hidden: Probes of both kinds.
        flagged: Evidence of the flagged pairs' proposals, shape (m, s).
        guess: First guess of the recoverable share; it decides where the evidence of
            proposals hardly depends on whether the true caption is there.
        most: It cannot be larger: the share of flagged pairs that are mismatched at all.
    """
    measured, deviation = recoverable_share(hidden, flagged)
    trust = _GUESS_DEVIATION**2 / (_GUESS_DEVIATION**2 + deviation**2)
    share = float(np.clip(guess + trust * (measured - guess), _LEAST_SHARE, most))
    there = hidden.is_present
    weight = np.where(there, share, 1 - share) * _even(hidden)
    wrong = ~(hidden.is_right & there)
    model = fit_monotone(-hidden.evidence, wrong.astype(float), weight, penalty=_PENALTY)
    return Confidence(model, share, float(_GUESS_DEVIATION * np.sqrt(1 - trust)))


def recoverable_share(hidden: HiddenPairs, flagged: Floats) -> tuple[float, float]:
    """Return the share at which probes of both kinds mix to the flagged, and its deviation.

    A classifier tells present from absent probes; what it says on average of either kind,
    out of fold, and of the flagged ones gives the share without bias, however weak or
    overfitted it is. The deviation is infinite if it cannot tell them apart at all.

    Args:
        hidden: Probes of both kinds.
        flagged: Evidence of the flagged pairs' proposals, shape (m, s).
    """
    weight, gone = _even(hidden), (~hidden.is_present).astype(float)
    _, image = np.unique(hidden.image_id, return_inverse=True)
    own, said = np.empty(len(gone)), np.zeros(len(flagged))
    for fold in range(_N_FOLDS):
        out = image % _N_FOLDS == fold
        model = fit_monotone(-hidden.evidence[~out], gone[~out], weight[~out])
        own[out] = expit(-model.score(-hidden.evidence[out]))
        said += expit(-model.score(-flagged)) / _N_FOLDS
    (there, of_there), (absent, of_absent) = (
        _mean(own[rows], hidden.weight[rows]) for rows in (hidden.is_present, ~hidden.is_present)
    )
    if not there - absent > 1e-6:
        return 0.0, np.inf
    share = (float(said.mean()) - absent) / (there - absent)
    of_flagged = float(said.var()) / len(said)
    variance = of_flagged + share**2 * of_there + (1 - share) ** 2 * of_absent
    variance += _UNLIKE**2 * float(said.var())
    return share, float(np.sqrt(variance)) / (there - absent)


def _even(hidden: HiddenPairs) -> Floats:
    """Return weights with which the probes of either kind sum to one."""
    sums = np.bincount(hidden.is_present, hidden.weight, minlength=2)
    even: Floats = hidden.weight / np.maximum(sums, 1e-9)[hidden.is_present.astype(int)]
    return even


def _mean(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted mean and its variance."""
    share = weight / weight.sum()
    mean = float(share @ values)
    return mean, float(share**2 @ (values - mean) ** 2)
