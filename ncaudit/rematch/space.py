"""The space in which flagged images and captions look for each other."""

from collections.abc import Iterator

import numpy as np

from ncaudit.matching.heads import Heads, image_features
from ncaudit.matching.moments import Moments
from ncaudit.matching.pairs import CHUNK_PAIRS, Pairs
from ncaudit.matching.start import ridge_cca, shared_rotation
from ncaudit.types import Floats, Ints


def matching_space(
    pairs: Pairs, rows: Ints, weight: Floats, *, aligned: bool, dim: int, ridge: float
) -> Heads:
    """Return the closed-form heads of weighted pairs: ridge CCA, or a shared rotation.

    Args:
        pairs: Pairs of which some are learned from.
        rows: Which ones, shape (m,).
        weight: How much each of them counts, 1 - p_mismatch, shape (m,).
        aligned: Whether the towers share a space.
        dim: Width of the space; cut to what the towers allow.
        ridge: Of the CCA, in units of each tower's mean variance.

    Raises:
        ValueError: If the pairs are too few or do not vary.
    """
    total: Moments | None = None
    for part, part_weight in _chunks(rows, weight):
        moments = _weighted(pairs.take(part), part_weight, aligned=aligned)
        total = moments if total is None else total + moments
    if total is None:
        raise ValueError("no pairs")
    if aligned:
        return shared_rotation(total, dim=dim)
    return ridge_cca(total, dim=dim, ridge=ridge)


def _chunks(rows: Ints, weight: Floats) -> Iterator[tuple[Ints, Floats]]:
    for start in range(0, len(rows), CHUNK_PAIRS):
        at = slice(start, start + CHUNK_PAIRS)
        yield rows[at], weight[at]


def _weighted(pairs: Pairs, weight: Floats, *, aligned: bool) -> Moments:
    """Return the moments of pairs that count `weight` times each."""
    x = image_features(pairs.image, aligned=aligned)
    t = pairs.caption.astype(np.float32)
    w = weight.astype(np.float32)[:, None]
    return Moments(
        float(weight.sum()),
        (w * x).sum(0, dtype=np.float64),
        (w * t).sum(0, dtype=np.float64),
        ((w * x).T @ x).astype(np.float64),
        ((w * t).T @ t).astype(np.float64),
        ((w * x).T @ t).astype(np.float64),
    )
