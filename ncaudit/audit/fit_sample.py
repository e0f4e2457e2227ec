"""Which pairs the model is fitted on: all, or a seeded sample of fixed size.

A pair's chance depends on the seed, its shard's name and its position alone, so the
sample is the same in whatever order shards were listed or finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncaudit.embeddings.cache import CachedShard, read_embeddings, shard_folder
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Ints, ShardTally


@dataclass(frozen=True, slots=True)
class FitSample:
    """A sample of the scored pairs of all shards; nothing here grows with the pairs.

    Attributes:
        seed: Root of the draw.
        limit: Draws up to this one are in the sample; None for all pairs.
        first: Shard to the row its first sampled pair has in the sample.
        n_pairs: Size of the sample.
    """

    seed: int
    limit: int | None
    first: dict[str, int]
    n_pairs: int

    def rows(self, tally: ShardTally) -> Ints:
        """Return each scored pair's row in the sample, -1 outside it, shape (n_scored,)."""
        drawn = _is_drawn(tally, self.seed, self.limit)
        return np.where(drawn, self.first[tally.shard] + np.cumsum(drawn) - 1, -1)


def draw_sample(tallies: Sequence[ShardTally], n_wanted: int, seed: int) -> FitSample:
    """Draw `n_wanted` pairs, or take all if there are no more than that.

    Draws are 63 random bits: should two pairs tie at the limit, both are in.
    """
    limit = None
    if sum(tally.n_scored for tally in tallies) > n_wanted:
        smallest = np.zeros(0, np.uint64)
        for tally in tallies:
            smallest = np.concatenate([smallest, _draws(tally, seed)])
            if len(smallest) > n_wanted:
                smallest = np.partition(smallest, n_wanted - 1)[:n_wanted]
        limit = int(smallest.max())
    first: dict[str, int] = {}
    n_pairs = 0
    for tally in tallies:
        first[tally.shard] = n_pairs
        n_pairs += int(_is_drawn(tally, seed, limit).sum())
    return FitSample(seed, limit, first, n_pairs)


def gather_pairs(sample: FitSample, cached: Sequence[CachedShard], cache: Path) -> Pairs:
    """Read the sample's pairs into memory, float16, in the order of their rows."""
    image, caption = _widths(cached[0], cache)
    pairs = Pairs(
        np.empty((sample.n_pairs, image), np.float16),
        np.empty((sample.n_pairs, caption), np.float16),
        np.empty(sample.n_pairs, np.uint64),
        np.empty(sample.n_pairs, np.uint64),
    )
    for shard in cached:
        rows = sample.rows(shard.tally)
        to, at = rows[rows >= 0], np.flatnonzero(rows >= 0)
        part = read_embeddings(shard_folder(cache, shard.tally.shard))
        pairs.image[to], pairs.caption[to] = part.image[at], part.caption[at]
        pairs.image_id[to], pairs.caption_id[to] = part.image_id[at], part.caption_id[at]
    return pairs


def _widths(shard: CachedShard, cache: Path) -> tuple[int, int]:
    part = read_embeddings(shard_folder(cache, shard.tally.shard))
    return part.image.shape[1], part.caption.shape[1]


def _is_drawn(tally: ShardTally, seed: int, limit: int | None) -> Bools:
    if limit is None:
        return np.ones(tally.n_scored, np.bool_)
    drawn: Bools = _draws(tally, seed) <= np.uint64(limit)
    return drawn


def _draws(tally: ShardTally, seed: int) -> NDArray[np.uint64]:
    name = int.from_bytes(blake2b(tally.shard.encode(), digest_size=8).digest())
    rng = np.random.default_rng([seed, name])
    return rng.integers(0, 1 << 63, tally.n_scored, dtype=np.uint64)
