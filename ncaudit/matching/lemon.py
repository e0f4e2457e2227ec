"""LEMoN's score: a pair's distance, and how little its neighbours' partners resemble its own.

Separate from the neighbour search: distances in, scores out.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The k nearest neighbours of n pairs in one modality; the pair itself is not among them.

    Attributes:
        distance: To the neighbours, in the modality in which they were searched, (n, k).
            The authors' code has minus the cosine here, so values may be negative.
        partner_distance: Between the pair's other half and the neighbours' other halves,
            in the other modality: 1 - cosine of the captions for image neighbours, (n, k).
        pair_distance: Between image and caption of the neighbour itself, (n, k).
        left_out: True for neighbours that do not count (duplicates, captions of the same
            image), (n, k); None counts all.
    """

    distance: Floats
    partner_distance: Floats
    pair_distance: Floats
    left_out: Bools | None = None

    def __post_init__(self) -> None:
        shapes = {self.distance.shape, self.partner_distance.shape, self.pair_distance.shape}
        if self.left_out is not None:
            shapes.add(self.left_out.shape)
        if len(shapes) != 1 or self.distance.ndim != 2:
            raise ValueError(f"neighbours need one shape (n, k), not {sorted(shapes)}")


@dataclass(frozen=True, slots=True)
class LemonWeights:
    """Weights of the score; the defaults are the authors' fixed setting without labels.

    Attributes:
        image_neighbours: beta, weight of what image neighbours say.
        caption_neighbours: gamma, weight of what caption neighbours say.
        distance_decay: tau_1, how fast a far neighbour loses its say.
        mismatch_decay: tau_2, how fast a neighbour that looks mismatched itself does.
    """

    image_neighbours: float = 5.0
    caption_neighbours: float = 5.0
    distance_decay: float = 0.1
    mismatch_decay: float = 5.0


DEFAULT_WEIGHTS = LemonWeights()


def neighbour_discrepancy(
    pair_distance: Floats,
    image_neighbours: Neighbours,
    caption_neighbours: Neighbours,
    *,
    weights: LemonWeights = DEFAULT_WEIGHTS,
) -> Floats:
    """Return d + beta * (what image neighbours say) + gamma * (what caption neighbours say).

    A neighbour says how far its partner is from the pair's own partner, weighted by
    exp(-tau_1 distance) exp(-tau_2 its own pair distance), averaged over the neighbours.

    Args:
        pair_distance: d of the pairs, e.g. 1 - cosine in the matching space, shape (n,).
        image_neighbours: Neighbours of the images; the captions are the partners.
        caption_neighbours: Neighbours of the captions; the images are the partners.
        weights: Weights of the terms.

    Returns:
        Scores, shape (n,); high is bad. A pair without neighbours keeps its d.

    Raises:
        ValueError: If the shapes do not agree.

    Source:
        Zhang et al., ICML 2025, arXiv:2407.18941 (LEMoN). Checked by reading
        MLforHealth/LEMoN@a3464b6 (MIT), lib/metrics/utils.py.

    Differs from the source:
        Neighbours can be left out.
    """
    for neighbours in (image_neighbours, caption_neighbours):
        if neighbours.distance.shape[:1] != pair_distance.shape:
            raise ValueError(
                f"neighbours of {neighbours.distance.shape[0]} pairs for {pair_distance.size}"
            )
    scores: Floats = (
        pair_distance
        + weights.image_neighbours * _mean_say(image_neighbours, weights)
        + weights.caption_neighbours * _mean_say(caption_neighbours, weights)
    )
    return scores


def _mean_say(neighbours: Neighbours, weights: LemonWeights) -> Floats:
    decay = weights.distance_decay * neighbours.distance
    decay = decay + weights.mismatch_decay * neighbours.pair_distance
    say = np.exp(-decay) * neighbours.partner_distance
    counts = np.ones_like(say) if neighbours.left_out is None else ~neighbours.left_out
    mean: Floats = np.where(counts, say, 0.0).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return mean
