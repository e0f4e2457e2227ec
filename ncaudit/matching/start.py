"""Where the heads start: ridge CCA for unaligned towers, a shared rotation for aligned ones."""

import numpy as np
import scipy.linalg

from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import Moments
from ncaudit.types import Floats

_ROUNDING = 1e-12


def ridge_cca(moments: Moments, *, dim: int, ridge: float) -> Heads:
    """Return the canonical directions of n pairs, each scaled by its correlation.

    Both covariances get `ridge` times their mean variance on the diagonal, so that the
    start holds with few pairs; mismatched pairs only shrink the cross-covariance, so it
    is tolerant of noise.

    Args:
        moments: Of the pairs to learn from.
        dim: Number of directions k; cut to what both towers allow.
        ridge: In units of each tower's mean variance, > 0.

    Raises:
        ValueError: If there are fewer than two pairs or an embedding never varies.

    Source:
        Hotelling 1936; the ridge after Vinod 1976. Scaling directions by their
        correlation: Gong et al., IJCV 2014, arXiv:1212.4522.
    """
    n = moments.n
    if n < 2:
        raise ValueError(f"{n} pairs cannot be correlated")
    image_mean, caption_mean = moments.image / n, moments.caption / n
    image = _whiten(moments.image_image / n - np.outer(image_mean, image_mean), ridge)
    caption = _whiten(moments.caption_caption / n - np.outer(caption_mean, caption_mean), ridge)
    cross = moments.image_caption / n - np.outer(image_mean, caption_mean)
    half = scipy.linalg.solve_triangular(image, cross, lower=True)
    coherence = scipy.linalg.solve_triangular(caption, half.T, lower=True).T
    left, correlation, right = scipy.linalg.svd(coherence, full_matrices=False)
    k = min(dim, len(correlation))
    left, right = _fix_signs(left[:, :k], right[:k].T)
    scale = correlation[:k]
    return Heads(
        aligned=False,
        image_mean=image_mean.astype(np.float32),
        image_map=_direction(image, left * scale),
        caption_mean=caption_mean.astype(np.float32),
        caption_map=_direction(caption, right * scale),
    )


def shared_rotation(moments: Moments, *, dim: int) -> Heads:
    """Return heads that centre each modality and turn both by one orthonormal map.

    The map holds the leading principal directions of both modalities together; where
    `dim` is not smaller than the embedding it is a rotation and keeps every cosine.

    Args:
        moments: Of pairs whose towers share one space.
        dim: Number of directions k at most.
    """
    n = moments.n
    image_mean, caption_mean = moments.image / n, moments.caption / n
    pooled = moments.image_image / n - np.outer(image_mean, image_mean)
    pooled += moments.caption_caption / n - np.outer(caption_mean, caption_mean)
    _, vectors = scipy.linalg.eigh(pooled)
    turn, _ = _fix_signs(vectors[:, ::-1][:, :dim], vectors[:, ::-1][:, :dim])
    return Heads(
        aligned=True,
        image_mean=image_mean.astype(np.float32),
        image_map=turn.astype(np.float32),
        caption_mean=caption_mean.astype(np.float32),
        caption_map=turn.astype(np.float32),
    )


def _whiten(covariance: Floats, ridge: float) -> Floats:
    """Return the lower Cholesky factor of the covariance with its ridge."""
    variance = float(np.trace(covariance)) / len(covariance)
    if not variance > _ROUNDING:
        raise ValueError("the embeddings of one tower never vary")
    covariance[np.diag_indices_from(covariance)] += ridge * variance
    factor: Floats = scipy.linalg.cholesky(covariance, lower=True)
    return factor


def _direction(factor: Floats, white: Floats) -> Floats:
    direction: Floats = scipy.linalg.solve_triangular(factor.T, white, lower=False)
    # Row-major, as a stored model has it: the order decides the last bits of a product.
    return np.ascontiguousarray(direction, np.float32)


def _fix_signs(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Give every direction the sign that makes its largest entry positive."""
    sign = np.sign(left[np.abs(left).argmax(0), np.arange(left.shape[1])])
    return left * sign, right * sign
