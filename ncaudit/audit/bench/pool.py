"""The clean pairs of a benchmark: cached embeddings with their texts, and parts of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ncaudit.audit.fit_sample import FitSample, gather_pairs
from ncaudit.audit.noise.plant import Pool
from ncaudit.embeddings.cache import CachedShard, read_ids, shard_folder
from ncaudit.errors import FitError
from ncaudit.types import Ints

MAX_HELD_OUT = 1000
HELD_OUT_SHARE = 0.15
_LEAST_IMAGES = 20


def gather_pool(sample: FitSample, cached: Sequence[CachedShard], cache: Path) -> Pool:
    """Read the sample's pairs and captions into memory."""
    captions = [""] * sample.n_pairs
    for shard in cached:
        ids = read_ids(shard_folder(cache, shard.tally.shard), ["embedding_row", "caption"])
        table = ids.to_pydict()
        texts = [
            text
            for text, at in zip(table["caption"], table["embedding_row"], strict=True)
            if at >= 0
        ]
        for text, row in zip(texts, sample.rows(shard.tally), strict=True):
            if row >= 0:
                captions[row] = text
    return Pool(gather_pairs(sample, cached, cache), tuple(captions))


def take(pool: Pool, rows: Ints) -> Pool:
    """Return the pairs at `rows` with their captions."""
    return Pool(pool.pairs.take(rows), tuple(pool.captions[row] for row in rows))


def first_captions(pool: Pool, captions_per_image: int | None) -> Pool:
    """Return the pool with the first captions of each image, or all of them for None."""
    if captions_per_image is None:
        return pool
    _, image = np.unique(pool.pairs.image_id, return_inverse=True)
    order = np.argsort(image, kind="stable")
    counts = np.bincount(image)
    place = np.empty(len(image), np.int64)
    place[order] = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
    return take(pool, np.flatnonzero(place < captions_per_image))


def hold_out(pool: Pool) -> tuple[Pool, Pool]:
    """Split off images, with all their captions, for testing what training gives.

    Returns:
        The pairs to plant noise in, and the held-out pairs: 15 % of the images, at most
        1,000, the same ones in every case.

    Raises:
        FitError: If there are too few images.
    """
    images = np.unique(pool.pairs.image_id)
    n_out = min(MAX_HELD_OUT, round(HELD_OUT_SHARE * len(images)))
    if n_out < _LEAST_IMAGES:
        raise FitError(
            f"{len(images)} images are too few to hold some out for --downstream",
            hint="Give more shards, or leave --downstream out.",
        )
    out = np.random.default_rng(1002).permutation(images)[:n_out]
    is_out = np.isin(pool.pairs.image_id, out)
    return take(pool, np.flatnonzero(~is_out)), take(pool, np.flatnonzero(is_out))
