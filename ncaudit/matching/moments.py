"""Sums of first and second moments of pairs, which add and subtract like numbers.

A fold's training moments are the total less the fold's own: one pass over the pairs
serves every fold and every ridge.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.matching.heads import image_features
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over n pairs of image features x and caption embeddings t, float64.

    Attributes:
        n: Number of pairs, or the sum of their weights.
        image: Sum of x, shape (d_image,).
        caption: Sum of t, shape (d_caption,).
        image_image: Sum of x x', shape (d_image, d_image).
        caption_caption: Sum of t t', shape (d_caption, d_caption).
        image_caption: Sum of x t', shape (d_image, d_caption).
    """

    n: float
    image: Floats
    caption: Floats
    image_image: Floats
    caption_caption: Floats
    image_caption: Floats

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n + other.n,
            self.image + other.image,
            self.caption + other.caption,
            self.image_image + other.image_image,
            self.caption_caption + other.caption_caption,
            self.image_caption + other.image_caption,
        )

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n - other.n,
            self.image - other.image,
            self.caption - other.caption,
            self.image_image - other.image_image,
            self.caption_caption - other.caption_caption,
            self.image_caption - other.image_caption,
        )


def moments_of(pairs: Pairs, *, aligned: bool) -> Moments:
    """Sum the moments of `pairs`, a chunk at a time."""
    total: Moments | None = None
    for _, chunk in pairs.chunks():
        x = image_features(chunk.image, aligned=aligned)
        t = chunk.caption.astype(np.float32)
        part = Moments(
            len(chunk),
            x.sum(0, dtype=np.float64),
            t.sum(0, dtype=np.float64),
            (x.T @ x).astype(np.float64),
            (t.T @ t).astype(np.float64),
            (x.T @ t).astype(np.float64),
        )
        total = part if total is None else total + part
    if total is None:
        raise ValueError("no pairs")
    return total
