"""Exchanging captions between pairs: singly, by image, or inside topics."""

import numpy as np

from ncaudit.audit.noise.derange import derange
from ncaudit.audit.noise.true_pairs import TruePairs
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Ints

PAIRS_PER_TOPIC = 40


def exchange_captions(
    pairs: Pairs, rate: float, rng: np.random.Generator, topic: Ints | None = None
) -> Ints:
    """Return the row that each pair's caption now comes from, shape (n,).

    Exchanged pairs get a caption that is true for none of their image's pairs.

    Args:
        pairs: Pairs that are right.
        rate: Share to exchange, in [0, 1]; within each topic where topics are given.
        rng: Decides which.
        topic: Captions are only exchanged within a topic, shape (n,); None for anywhere.
    """
    truth = TruePairs(pairs)

    def conflict(rows: Ints, sources: Ints) -> Bools:
        return truth.hold(pairs.image_id[rows], pairs.caption_id[sources])

    rows = np.arange(len(pairs))
    for members in _groups(topic, len(pairs)):
        chosen = rng.permutation(members)[: round(rate * len(members))]
        if len(chosen) > 1:
            rows[chosen] = derange(chosen, rng, conflict)
    return rows


def exchange_images(pairs: Pairs, rate: float, rng: np.random.Generator) -> Ints:
    """Return the row that each pair's image now comes from, shape (n,).

    All pairs of an image get the same other image, as in splits where the captions of an
    image move together.

    Args:
        pairs: Pairs that are right.
        rate: Share of the images to exchange, in [0, 1].
        rng: Decides which.
    """
    truth = TruePairs(pairs)
    _, first, image = np.unique(pairs.image_id, return_index=True, return_inverse=True)
    order = np.argsort(image, kind="stable")
    counts = np.bincount(image)
    starts = np.cumsum(counts) - counts

    def conflict(moved: Ints, to: Ints) -> Bools:
        # The captions of image `moved[i]` would belong to image `to[i]`.
        owner = np.repeat(np.arange(len(moved)), counts[moved])
        inside = np.arange(len(owner)) - np.repeat(
            np.cumsum(counts[moved]) - counts[moved], counts[moved]
        )
        rows = order[starts[moved][owner] + inside]
        held = truth.hold(pairs.image_id[first[to]][owner], pairs.caption_id[rows])
        return np.bincount(owner, held, len(moved)) > 0

    now = np.arange(len(counts))
    chosen = rng.permutation(len(counts))[: round(rate * len(counts))]
    if len(chosen) > 1:
        now[chosen] = derange(chosen, rng, conflict)
    rows: Ints = np.where(now[image] == image, np.arange(len(pairs)), first[now[image]])
    return rows


def caption_topics(pairs: Pairs, *, pairs_per_topic: int = PAIRS_PER_TOPIC) -> Ints:
    """Return the cluster of each caption by mini-batch k-means, shape (n,).

    Args:
        pairs: Pairs whose caption embeddings are clustered, n of them.
        pairs_per_topic: Mean size of a cluster.
    """
    from sklearn.cluster import MiniBatchKMeans

    n_topics = min(max(1, len(pairs) // pairs_per_topic), len(np.unique(pairs.caption_id)))
    kmeans = MiniBatchKMeans(n_topics, random_state=0, n_init=1, batch_size=4096)
    topics: Ints = kmeans.fit_predict(pairs.caption.astype(np.float32))
    return topics


def _groups(topic: Ints | None, n: int) -> list[Ints]:
    if topic is None:
        return [np.arange(n)]
    order = np.argsort(topic, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(topic[order])) + 1)
