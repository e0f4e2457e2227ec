"""Whether the mismatched captions of an image come alone or all at once."""

import numpy as np

from ncaudit.types import Floats, Ints

_LEAST_SPREAD = 1e-6


def share_together(p: Floats, group: Ints, p_planted: Floats) -> float:
    """Return the share of mismatches that concern all captions of an image.

    Where captions go astray one by one, a mismatched caption's siblings are mismatched as
    often as any caption is; where whole images go astray, they always are. What is observed
    lies between the two.

    Args:
        p: P(mismatch) of the observed pairs, each judged alone, in [0, 1], shape (n,).
        group: Image of each, shape (n,).
        p_planted: P(mismatch) of known mismatches by the same judge, shape (m,).

    Returns:
        A share in [0, 1]; 1 where no image has two captions or nothing can be told.
    """
    _, image, counts = np.unique(group, return_inverse=True, return_counts=True)
    siblings = counts[image] - 1.0
    has = siblings > 0
    weight = p[has].sum()
    if not has.any() or weight <= 0:
        return 1.0
    mean_of_siblings = (np.bincount(image, p)[image][has] - p[has]) / siblings[has]
    rate = float(p[has].mean())
    if rate >= 1:
        return 1.0
    # What a mismatch and a matched pair are given on average, and so what siblings that
    # share the image's fate have in common.
    wrong = float(p_planted.mean())
    right = rate * (1.0 - wrong) / (1.0 - rate)
    always = wrong**2 + (1.0 - rate) * right**2 / rate
    observed = float(p[has] @ mean_of_siblings / weight)
    if always - rate < _LEAST_SPREAD:
        return 1.0
    return float(np.clip((observed - rate) / (always - rate), 0.0, 1.0))
