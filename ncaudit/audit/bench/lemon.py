"""LEMoN as a baseline: with its fixed weights, and tuned on labelled pairs."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.stats import rankdata

from ncaudit.matching.lemon import LemonWeights, Neighbours, neighbour_discrepancy
from ncaudit.types import Bools, Floats, Ints

FIXED_K = 30
MAX_K = 50
_KS = (1, 2, 5, 10, 15, 20, 30, 50)
_WEIGHTS = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_DECAYS = (0.0, 0.1, 1.0, 5.0, 10.0)
_MAX_LABELLED = 500
_LABELLED_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class LemonTask:
    """What LEMoN scores from.

    Attributes:
        pair_distance: 1 - similarity of each pair, shape (n,).
        image: The `MAX_K` nearest pairs by image.
        caption: The `MAX_K` nearest pairs by caption.
    """

    pair_distance: Floats
    image: Neighbours
    caption: Neighbours


def lemon_fixed(task: LemonTask) -> Floats:
    """Return scores with the authors' weights for the case without labels, k = 30."""
    return neighbour_discrepancy(
        task.pair_distance, _first(task.image, FIXED_K), _first(task.caption, FIXED_K)
    )


def lemon_tuned(task: LemonTask, is_mismatch: Bools, *, seed: int) -> tuple[Floats, Ints]:
    """Choose k and all weights on labelled pairs, by AUROC.

    Args:
        task: What to score from.
        is_mismatch: The truth, shape (n,); only that of the labelled pairs is looked at.
        seed: Decides which pairs are labelled: 500, or 10 % if that is less.

    Returns:
        Scores of all pairs, and the rows of those without a label, to report on.
    """
    n = len(is_mismatch)
    n_labelled = min(_MAX_LABELLED, round(_LABELLED_SHARE * n))
    order = np.random.default_rng([seed, 1003]).permutation(n)
    labelled, rest = np.sort(order[:n_labelled]), np.sort(order[n_labelled:])
    k, weights = _best(_rows(task, labelled), is_mismatch[labelled])
    scores = neighbour_discrepancy(
        task.pair_distance, _first(task.image, k), _first(task.caption, k), weights=weights
    )
    return scores, rest


def _best(task: LemonTask, is_mismatch: Bools) -> tuple[int, LemonWeights]:
    """Search the whole grid; of equal settings the first counts."""
    best, chosen = -1.0, (FIXED_K, LemonWeights())
    grid = np.array(list(product(_WEIGHTS, _WEIGHTS)))
    for k, near, mismatch in product(_KS, _DECAYS, _DECAYS):
        says = [_say(task, k, LemonWeights(b, g, near, mismatch)) for b, g in ((1, 0), (0, 1))]
        scores = task.pair_distance + grid @ np.stack(says)
        aurocs = _aurocs(scores, is_mismatch)
        at = int(aurocs.argmax())
        if aurocs[at] > best:
            best = float(aurocs[at])
            by_image, by_caption = grid[at].tolist()
            chosen = k, LemonWeights(by_image, by_caption, near, mismatch)
    return chosen


def _say(task: LemonTask, k: int, weights: LemonWeights) -> Floats:
    """Return one of the two neighbour terms alone."""
    nothing = np.zeros_like(task.pair_distance)
    return neighbour_discrepancy(
        nothing, _first(task.image, k), _first(task.caption, k), weights=weights
    )


def _aurocs(scores: Floats, is_mismatch: Bools) -> Floats:
    """Return the AUROC of each row of scores, shape (g,); 0.5 without both kinds."""
    n_wrong = int(is_mismatch.sum())
    n_right = len(is_mismatch) - n_wrong
    if not n_wrong or not n_right:
        return np.full(len(scores), 0.5)
    ranks = rankdata(scores, axis=1)[:, is_mismatch].sum(1)
    aurocs: Floats = (ranks - n_wrong * (n_wrong + 1) / 2) / (n_wrong * n_right)
    return aurocs


def _first(near: Neighbours, k: int) -> Neighbours:
    out = None if near.left_out is None else near.left_out[:, :k]
    return Neighbours(
        near.distance[:, :k], near.partner_distance[:, :k], near.pair_distance[:, :k], out
    )


def _rows(task: LemonTask, rows: Ints) -> LemonTask:
    def of(near: Neighbours) -> Neighbours:
        out = None if near.left_out is None else near.left_out[rows]
        return Neighbours(
            near.distance[rows], near.partner_distance[rows], near.pair_distance[rows], out
        )

    return LemonTask(task.pair_distance[rows], of(task.image), of(task.caption))
