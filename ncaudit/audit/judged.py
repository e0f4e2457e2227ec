"""Pairs that people know something about: shards they vouch for, and their verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncaudit.audit.decide import Human
from ncaudit.audit.review_verdicts import read_verdict_rows
from ncaudit.audit.verdicts import PairId, match_verdicts, read_verdicts
from ncaudit.embeddings.cache import CachedShard, read_embeddings, read_ids, shard_folder
from ncaudit.matching.pairs import Pairs, identities
from ncaudit.report.safe_text import safe_cell
from ncaudit.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Verdicts on pairs that were scored.

    Attributes:
        image_id: Of each judged pair, shape (m,), uint64.
        caption_id: Shape (m,), uint64.
        is_mismatch: The verdict, shape (m,).
        weight: How many pairs each stands for, shape (m,); 0 for a pair that was not drawn
            from the queue while others were.
    """

    image_id: Ints
    caption_id: Ints
    is_mismatch: Bools
    weight: Floats

    def rows_in(self, pairs: Pairs) -> Ints:
        """Return the row of each judged pair among `pairs`, -1 where it is none, shape (m,)."""
        own = identities(pairs.image_id, pairs.caption_id)
        order = np.argsort(own, kind="stable")
        wanted = identities(self.image_id, self.caption_id)
        at = np.minimum(np.searchsorted(own, wanted, sorter=order), len(own) - 1)
        return np.where(own[order[at]] == wanted, order[at], -1)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What people know about pairs.

    Attributes:
        trusted: Pairs they vouch for, or None.
        judged: Verdicts on pairs of the run, or None.
        digest: Of all that, "" for nothing.
    """

    trusted: Pairs | None = None
    judged: Judged | None = None
    digest: str = ""


NOTHING = Known()


def read_judged(path: Path, cached: Sequence[CachedShard], cache: Path) -> Judged:
    """Read a verdicts file and find its pairs; `unsure` says nothing, `rematch` is a mismatch.

    Args:
        path: verdicts.csv.
        cached: The shards.
        cache: Folder of the embedding cache.

    Raises:
        ConfigError: If the file cannot be read, or names pairs the shards do not have.
    """
    folders = {each.tally.shard: shard_folder(cache, each.tally.shard) for each in cached}
    verdicts = match_verdicts(read_verdicts(path), folders, lambda name: _pair_ids(folders[name]))
    weights = {pair: row.weight for pair, row in read_verdict_rows(path).items()}
    # Without any weight the pairs count as drawn uniformly.
    default = 0.0 if any(weight is not None for weight in weights.values()) else 1.0
    parts = []
    for shard, said in verdicts.items():
        spoken = {pair: human for pair, human in said.items() if human is not Human.SILENT}
        weight = {
            pair: _known(weights.get((safe_cell(shard), safe_cell(pair[0]), pair[1])), default)
            for pair in spoken
        }
        parts.append(_of_shard(folders[shard], spoken, weight))
    empty = np.zeros(0)
    columns = list(zip(*parts, strict=True)) or [(empty,)] * 4
    image_id, caption_id, is_mismatch, weight_of = (np.concatenate(each) for each in columns)
    return Judged(
        image_id.astype(np.uint64),
        caption_id.astype(np.uint64),
        is_mismatch.astype(bool),
        weight_of,
    )


def _known(weight: float | None, default: float) -> float:
    return default if weight is None else weight


def _pair_ids(folder: Path) -> Iterable[PairId]:
    ids = read_ids(folder)
    return zip(ids["key"].to_pylist(), ids["caption_index"].to_pylist(), strict=True)


def _of_shard(
    folder: Path, spoken: Mapping[PairId, Human], weight: Mapping[PairId, float]
) -> tuple[Ints, Ints, Bools, Floats]:
    """Return the verdicts on scored pairs of one shard; those on rejects say nothing."""
    rows = read_ids(folder)["embedding_row"].to_pylist()
    at = dict(zip(_pair_ids(folder), rows, strict=True))
    found = [(pair, at[pair]) for pair in spoken if at[pair] >= 0]
    pairs, row = [pair for pair, _ in found], np.array([row for _, row in found], np.int64)
    part = read_embeddings(folder)
    return (
        part.image_id[row],
        part.caption_id[row],
        np.array([spoken[pair] is not Human.MATCH for pair in pairs], bool),
        np.array([weight[pair] for pair in pairs], np.float64),
    )
