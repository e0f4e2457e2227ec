"""Folds grouped by image, so that no head judges an image it was trained on."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ncaudit.types import Ints


def group_rows(image_id: Ints, near: tuple[Ints, Ints] | None = None) -> Ints:
    """Number the groups of pairs that must share a fold.

    Args:
        image_id: Equal ids mean the same image, shape (n,).
        near: Rows of near-duplicate images, two arrays of shape (m,), or None.

    Returns:
        Group numbers from 0, shape (n,), int64.
    """
    _, group = np.unique(image_id, return_inverse=True)
    if near is None or not len(near[0]):
        numbered: Ints = group.astype(np.int64)
        return numbered
    n_groups = int(group.max()) + 1
    edges = (np.ones(len(near[0])), (group[near[0]], group[near[1]]))
    _, component = connected_components(
        coo_array(edges, shape=(n_groups, n_groups)), directed=False
    )
    joined: Ints = component.astype(np.int64)[group]
    return joined


def assign_folds(group: Ints, *, n_folds: int, seed: int) -> Ints:
    """Spread whole groups over the folds so that each holds about as many pairs.

    Args:
        group: Group number of each pair, shape (n,).
        n_folds: Number of folds.
        seed: Decides which group goes where.

    Returns:
        Fold of each pair in [0, n_folds), shape (n,), int64.

    Raises:
        ValueError: If there are fewer groups than folds.
    """
    sizes = np.bincount(group)
    if np.count_nonzero(sizes) < n_folds:
        raise ValueError(f"{np.count_nonzero(sizes)} groups for {n_folds} folds")
    order = np.random.default_rng([seed, 1]).permutation(len(sizes))
    fold_of = np.empty(len(sizes), np.int64)
    fold_of[order] = np.arange(len(sizes)) % n_folds
    # One giant group would starve the other folds' models: give it a fold of its own.
    for giant in np.flatnonzero(sizes > len(group) / n_folds):
        fold_of[giant] = int(np.bincount(fold_of, sizes, n_folds).argmin())
    return fold_of[group]
