"""How good a probability is, measured on verdicts that were drawn with unequal chances.

Separate from the other metrics, which count every pair once: here each verdict stands for
as many pairs as its weight says.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Floats

# Some 60 of 300 verdicts in each: finer bins would measure chance.
N_BINS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelQuality:
    """Estimates for all pairs from the judged ones.

    Attributes:
        auroc: In [0, 1]; None if all verdicts are alike.
        ece: Expected calibration error in [0, 1] over 5 bins of equal weight.
        brier: Mean squared error in [0, 1].
        precision_at_half: Share of mismatches among pairs of p >= 0.5; None without any.
    """

    auroc: float | None
    ece: float
    brier: float
    precision_at_half: float | None


def label_quality(p_mismatch: Floats, is_mismatch: Bools, weight: Floats) -> LabelQuality:
    """Measure a probability on verdicts.

    Args:
        p_mismatch: In [0, 1], shape (m,), m >= 1.
        is_mismatch: The verdicts, shape (m,).
        weight: Pairs that each verdict stands for, in any unit, > 0, shape (m,).
    """
    from sklearn.metrics import roc_auc_score

    share = weight / weight.sum()
    flagged = p_mismatch >= 0.5
    both = is_mismatch.any() and not is_mismatch.all()
    return LabelQuality(
        auroc=float(roc_auc_score(is_mismatch, p_mismatch, sample_weight=share)) if both else None,
        ece=_calibration_error(p_mismatch, is_mismatch, share),
        brier=float(share @ (p_mismatch - is_mismatch) ** 2),
        precision_at_half=float(share[flagged] @ is_mismatch[flagged] / share[flagged].sum())
        if flagged.any()
        else None,
    )


def _calibration_error(p: Floats, is_mismatch: Bools, share: Floats) -> float:
    """Return the mean gap of probability and rate over bins of equal weight."""
    order = np.argsort(p, kind="stable")
    middle = share[order].cumsum() - share[order] / 2
    bins = np.minimum((middle * N_BINS).astype(np.intp), N_BINS - 1)
    return float(np.abs(np.bincount(bins, (share * (p - is_mismatch))[order])).sum())
