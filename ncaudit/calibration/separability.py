"""Can the label-free probability be believed: two checks that need no labels.

Both compare observed pairs with the planted mismatches. Neither can see mismatches that
look exactly like matched pairs.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Floats, Ints

LEAST_CHECK_AUROC = 0.7
LARGEST_DISTANCE = 0.15
LEAST_FLAGGED = 10  # pairs; fewer say nothing of how they are spread
_CHANCE = 1.63  # over sqrt(n): exceeded by chance in 1 % of samples

_NEXT_STEP = (
    "Look at pairs with `ncaudit review`, then give the verdicts to `ncaudit score --verdicts`."
)
_INDISTINCT = (
    "Planted mismatches cannot be told from the pairs: p_mismatch means nothing here. "
    f"{_NEXT_STEP}"
)
_UNLIKE = (
    "The suspicious pairs do not look like captions drawn at random: mismatches may be "
    "between similar images, p_mismatch is then far too low and the estimated noise rate "
    f"with it. The order of the pairs still helps. {_NEXT_STEP}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separability:
    """What the checks found.

    Attributes:
        separable: True if nothing speaks against the probabilities.
        warnings: One text for each failed check, with the next step.
        statistics: `self_check_auroc`; `n_flagged`, pairs whose probability is at least
            0.5 (a pair with several rows counts by the share of these);
            `flagged_distance`, the Kolmogorov-Smirnov distance of their probabilities
            from those of equally suspicious planted mismatches, and `distance_limit`,
            above which it warns. The last two are missing with fewer than 10 flagged
            pairs or without a planted mismatch among the suspicious.
    """

    separable: bool
    warnings: tuple[str, ...]
    statistics: dict[str, float]


def check_separability(
    p_observed: Floats, pair: Ints, p_planted: Floats, *, self_check_auroc: float
) -> Separability:
    """Check the label-free probabilities.

    Where mismatches are like the planted ones, flagged pairs, each counted by its
    probability, are spread as planted pairs above the same threshold are. Captions exchanged between similar images gather just
    above the threshold instead, and none is as bad as a random caption.

    Args:
        p_observed: P(mismatch) of the rows of observed pairs, in [0, 1], shape (n,).
        pair: Pair of each row, >= 0, shape (n,); every pair counts once.
        p_planted: P(mismatch) of the planted mismatches, in [0, 1], shape (m,).
        self_check_auroc: How well held-out planted mismatches are told from matched
            pairs, in [0, 1].

    Raises:
        ValueError: If the shapes differ, a side is empty, or a value is outside [0, 1].

    Source:
        Limit of the distance: Smirnov, Annals of Mathematical Statistics 1948; at least
        0.15 and never below what chance explains.
    """
    _check(p_observed, pair, p_planted, self_check_auroc)
    statistics = {"self_check_auroc": self_check_auroc} | _flagged(p_observed, pair, p_planted)
    warnings = []
    if self_check_auroc < LEAST_CHECK_AUROC:
        warnings.append(_INDISTINCT)
    distance = statistics.get("flagged_distance", 0.0)
    if distance > statistics.get("distance_limit", 1.0):
        warnings.append(_UNLIKE)
    return Separability(separable=not warnings, warnings=tuple(warnings), statistics=statistics)


def _check(p_observed: Floats, pair: Ints, p_planted: Floats, auroc: float) -> None:
    if p_observed.ndim != 1 or p_observed.shape != pair.shape:
        raise ValueError(f"{p_observed.shape} probabilities for {pair.shape} pairs")
    if not p_observed.size or not p_planted.size:
        raise ValueError("probabilities of observed and of planted pairs are needed")
    for values in (p_observed, p_planted, np.array([auroc])):
        # Written so that NaN fails.
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("probabilities and the AUROC must be in [0, 1]")


def _flagged(p_observed: Floats, pair: Ints, p_planted: Floats) -> dict[str, float]:
    rows_of_pair = np.bincount(pair)
    flagged: Bools = p_observed >= 0.5
    weight = 1.0 / rows_of_pair[pair[flagged]]
    n_flagged = float(weight.sum())
    statistics = {"n_flagged": n_flagged}
    planted = p_planted[p_planted >= 0.5]
    if n_flagged < LEAST_FLAGGED or not planted.size:
        return statistics
    # Some flagged pairs are matched, more of them near one half: p says how many.
    believed = weight * p_observed[flagged]
    chance = _CHANCE * float(np.sqrt(1.0 / n_flagged + 1.0 / planted.size))
    return statistics | {
        "flagged_distance": _distance(p_observed[flagged], believed, planted),
        "distance_limit": max(LARGEST_DISTANCE, chance),
    }


def _distance(observed: Floats, weight: Floats, planted: Floats) -> float:
    """Return the largest gap of the two distribution functions, at every step of either."""
    order = np.argsort(observed)
    cumulative = np.append(0.0, weight[order].cumsum() / weight.sum())
    steps = np.concatenate([observed, planted])
    at_observed = cumulative[np.searchsorted(observed[order], steps, side="right")]
    at_planted = np.searchsorted(np.sort(planted), steps, side="right") / planted.size
    return float(np.abs(at_observed - at_planted).max())
