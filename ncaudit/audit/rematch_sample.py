"""Which pairs of a run take part in rematching, and their embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ncaudit.audit.run_directory import RunDirectory
from ncaudit.config import RematchConfig
from ncaudit.embeddings.cache import CachedShard, read_embeddings, shard_folder
from ncaudit.matching.pairs import Pairs
from ncaudit.rematch.groups import shard_groups
from ncaudit.rematch.propose import Suspects
from ncaudit.report.parts import read_part
from ncaudit.types import Bools, Floats, Ints, Status

_MOST_LEARNED = 100_000  # kept pairs; more make the matching space no better


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Pairs of all shards, flagged ones first; either kind in the order of the shards.

    Attributes:
        shard: Number of the shard, shape (n,).
        row: Row in the shard's part, shape (n,).
        scored: Row among the shard's scored pairs, shape (n,).
        p_mismatch: Shape (n,).
        n_flagged: How many are flagged.
        n_flagged_in_all: How many there would be without the limit.
    """

    shard: Ints
    row: Ints
    scored: Ints
    p_mismatch: Floats
    n_flagged: int
    n_flagged_in_all: int


def choose_pairs(
    run: RunDirectory, cached: Sequence[CachedShard], config: RematchConfig, seed: int
) -> Chosen:
    """Choose flagged and kept pairs from the parts; above the limits by a seeded draw.

    A pair's chance depends on the seed, its shard's name and its position alone. Memory
    grows with the limits, not with the pairs.
    """
    names = [shard.tally.shard for shard in cached]
    n_kept = config.max_pairs if config.pool == "all" else min(config.max_pairs, _MOST_LEARNED)
    wanted = (True, config.max_pairs), (False, n_kept)
    limits = {flag: _limit(run, names, config, seed, (flag, n)) for flag, n in wanted}
    found: dict[bool, list[Ints]] = {True: [], False: []}
    p_of: dict[bool, list[Floats]] = {True: [], False: []}
    for number, (row, scored, p, draw) in enumerate(_shards(run, names, seed)):
        for flag, (limit, _) in limits.items():
            at = np.flatnonzero(((p >= config.flagged_p) == flag) & (draw <= limit))
            found[flag].append(np.stack([np.full(len(at), number), row[at], scored[at]]))
            p_of[flag].append(p[at])
    shard, row, scored = np.concatenate([*found[True], *found[False]], axis=1)
    n_flagged = sum(len(p) for p in p_of[True])
    p = np.concatenate([*p_of[True], *p_of[False]])
    return Chosen(shard, row, scored, p, n_flagged, limits[True][1])


def gather_suspects(
    chosen: Chosen, run: RunDirectory, cached: Sequence[CachedShard], within: str
) -> Suspects:
    """Read the chosen pairs' embeddings into memory, float16."""
    names = [shard.tally.shard for shard in cached]
    first = read_embeddings(shard_folder(run.embeddings, names[int(chosen.shard[0])]))
    n = len(chosen.shard)
    pairs = Pairs(
        np.empty((n, first.image.shape[1]), np.float16),
        np.empty((n, first.caption.shape[1]), np.float16),
        np.empty(n, np.uint64),
        np.empty(n, np.uint64),
    )
    for number in np.unique(chosen.shard):
        to = np.flatnonzero(chosen.shard == number)
        at = chosen.scored[to]
        part = read_embeddings(shard_folder(run.embeddings, names[int(number)]))
        pairs.image[to], pairs.caption[to] = part.image[at], part.caption[at]
        pairs.image_id[to], pairs.caption_id[to] = part.image_id[at], part.caption_id[at]
    group = shard_groups(names, within)[chosen.shard]
    return Suspects(pairs, chosen.n_flagged, chosen.p_mismatch, group)


def _shards(
    run: RunDirectory, names: Sequence[str], seed: int
) -> Iterator[tuple[Ints, Ints, Floats, Ints]]:
    """Yield of each shard the pairs with a probability: row, scored row, p, draw."""
    for name in names:
        table = read_part(run.part(name), ["status", "p_mismatch"])
        is_scored = np.array([str(s) == Status.SCORED for s in table["status"].to_pylist()], bool)
        p = table["p_mismatch"].to_numpy(zero_copy_only=False).astype(np.float64)
        scored = np.cumsum(is_scored) - 1
        root = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
        draw = np.random.default_rng([seed, root, 10]).integers(0, 1 << 63, len(p))
        row = np.flatnonzero(is_scored & ~np.isnan(p))
        yield row, scored[row], p[row], draw[row]


def _limit(
    run: RunDirectory,
    names: Sequence[str],
    config: RematchConfig,
    seed: int,
    wanted: tuple[bool, int],
) -> tuple[int, int]:
    """Return the largest draw that takes part, and how many pairs there are in all."""
    flag, n_wanted = wanted
    smallest, n = np.zeros(0, np.int64), 0
    for _, _, p, draw in _shards(run, names, seed):
        mine: Bools = (p >= config.flagged_p) == flag
        n += int(mine.sum())
        smallest = np.concatenate([smallest, draw[mine]])
        if len(smallest) > n_wanted:
            smallest = np.partition(smallest, n_wanted - 1)[:n_wanted]
    return (int(smallest.max()) if n > n_wanted else np.iinfo(np.int64).max), n
