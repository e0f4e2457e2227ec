"""Captions from outside the pool: their own images are taken out, and nothing fits them."""

import numpy as np

from ncaudit.matching.pairs import Pairs
from ncaudit.types import Ints


def adopt_orphans(pairs: Pairs, rate: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Take images out of the pool and give their captions to pairs that stay.

    Args:
        pairs: Pairs that are right, n of them.
        rate: Share of the pairs that stay which get an orphan, in [0, 1].
        rng: Decides which.

    Returns:
        Rows of the pairs that stay, shape (m,), and the row that the caption of each now
        comes from, shape (m,): its own, or one of those taken out. Captions that some pair
        that stays has too are no orphans; should too few be left, fewer pairs get one.
    """
    _, image = np.unique(pairs.image_id, return_inverse=True)
    counts = np.bincount(image)
    order = rng.permutation(len(counts))
    n_wanted = rate / (1 + rate) * len(pairs)
    n_out = int(np.searchsorted(np.cumsum(counts[order]), n_wanted)) + 1 if rate > 0 else 0
    is_out = np.isin(image, order[:n_out])
    stay, out = np.flatnonzero(~is_out), np.flatnonzero(is_out)
    orphans = rng.permutation(out[~np.isin(pairs.caption_id[out], pairs.caption_id[stay])])
    chosen = rng.permutation(len(stay))[: round(rate * len(stay))][: len(orphans)]
    source = stay.copy()
    source[chosen] = orphans[: len(chosen)]
    return stay, source
