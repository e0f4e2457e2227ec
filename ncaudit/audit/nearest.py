"""Better captions for an image, and better images for a caption, among the run's embeddings.

An exact search with one fold's heads, over at most a capped number of pairs, then the model
scores what was found. For one query that is quicker than to build an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.checkpoint import load_model
from ncaudit.audit.find_pair import FoundPair
from ncaudit.audit.model import AuditModel
from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.scored_run import ScoredRun
from ncaudit.embeddings.cache import read_embeddings, read_ids, shard_folder
from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.report.pair_view import shown_caption
from ncaudit.report.safe_text import escape_controls
from ncaudit.types import Floats, Ints

MAX_CANDIDATES = 100_000
N_SHOWN = 3
_N_SCORED = 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """A caption or an image that may fit better.

    Attributes:
        shard: Shard of its sample.
        key: Key of its sample.
        caption: The caption it has there.
        similarity: With the pair's other side.
        p_mismatch: Of the new pair, or None where the model has no probabilities.
    """

    shard: str
    key: str
    caption: str
    similarity: float
    p_mismatch: float | None


@dataclass(frozen=True, slots=True)
class Nearest:
    """What fits better than the pair's own; the best first.

    Attributes:
        captions: For the pair's image.
        images: For the pair's caption.
        n_searched: Pairs whose captions and images were compared.
        problem: Why nothing was searched, or "".
    """

    captions: tuple[Candidate, ...] = ()
    images: tuple[Candidate, ...] = ()
    n_searched: int = 0
    problem: str = ""


def find_nearest(folder: Path, run: ScoredRun, pair: FoundPair) -> Nearest:
    """Search the cached embeddings, the pair's own shard first.

    Raises:
        WeightsError: If the run's model is damaged.
    """
    files = RunDirectory(folder)
    own = shard_folder(files.embeddings, pair.shard.name)
    if pair.values["p_mismatch"] is None and pair.values["similarity"] is None:
        return Nearest(problem="the pair was not scored")
    if not (files.model / "card.json").is_file():
        return Nearest(problem="the run has no model")
    if not (own / "ids.parquet").is_file():
        return Nearest(problem="the run's embeddings are gone")
    query = int(read_ids(own, ["embedding_row"])["embedding_row"][pair.row].as_py())
    pairs, places = _gather(files.embeddings, run, pair.at)
    return _Search(load_model(files.model), pairs, places, run, files.embeddings).nearest(query)


def _gather(cache: Path, run: ScoredRun, first: int) -> tuple[Pairs, list[tuple[int, int]]]:
    """Return pairs of the run up to the cap, and (shard, number of its pairs) in order."""
    found, places, n = [], [], 0
    for at in [first, *(at for at in range(len(run.shards)) if at != first)]:
        folder = shard_folder(cache, run.shards[at].name)
        if n >= MAX_CANDIDATES or not (folder / "ids.parquet").is_file():
            continue
        part = read_embeddings(folder)
        pairs = Pairs(part.image, part.caption, part.image_id, part.caption_id)
        taken = (
            pairs if at == first else pairs.take(np.arange(min(len(pairs), MAX_CANDIDATES - n)))
        )
        found.append(taken)
        places.append((at, len(taken)))
        n += len(taken)
    return concatenate(found), places


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    model: AuditModel
    pairs: Pairs
    places: list[tuple[int, int]]
    run: ScoredRun
    cache: Path

    def nearest(self, query: int) -> Nearest:
        image, caption = self.model.heads[0].project(self.pairs)
        ids = self.pairs
        captions = self._better(query, caption @ image[query], ids.caption_id, is_caption=True)
        images = self._better(query, image @ caption[query], ids.image_id, is_caption=False)
        return Nearest(captions, images, len(self.pairs))

    def _better(
        self, query: int, similarity: Floats, ids: Ints, *, is_caption: bool
    ) -> tuple[Candidate, ...]:
        """Return candidates that score better than the pair itself."""
        own = (self.pairs.image_id == self.pairs.image_id[query]) | (
            self.pairs.caption_id == self.pairs.caption_id[query]
        )
        rows = _distinct(np.argsort(-np.where(own, -np.inf, similarity), kind="stable"), ids)
        rows = rows[~own[rows]]
        at = np.append(query, rows)
        same = np.full(len(at), query)
        mixed = self.pairs.recombine(same, at) if is_caption else self.pairs.recombine(at, same)
        scores = self.model.score(mixed)
        p, similar = scores.p_mismatch, scores.signals["similarity"]
        rank = -similar if np.isnan(p).any() else p
        order = np.argsort(rank[1:], kind="stable") + 1
        better = [int(each) for each in order if rank[each] < rank[0]][:N_SHOWN]
        return tuple(self._candidate(int(at[each]), similar[each], p[each]) for each in better)

    def _candidate(self, row: int, similarity: float, p: float) -> Candidate:
        shard, within = _locate(row, self.places)
        name = self.run.shards[shard].name
        sample = _ids_row(shard_folder(self.cache, name), within)
        return Candidate(
            escape_controls(name),
            escape_controls(sample["key"]),
            shown_caption(sample["caption"]),
            float(similarity),
            None if np.isnan(p) else float(p),
        )


def _distinct(order: Ints, ids: Ints) -> Ints:
    """Return the first rows of different ids."""
    head = order[: 20 * _N_SCORED]
    _, first = np.unique(ids[head], return_index=True)
    rows: Ints = head[np.sort(first)][:_N_SCORED]
    return rows


def _locate(row: int, places: Sequence[tuple[int, int]]) -> tuple[int, int]:
    for shard, n in places:
        if row < n:
            return shard, row
        row -= n
    raise IndexError(row)


def _ids_row(folder: Path, embedding_row: int) -> dict[str, Any]:
    table = read_ids(folder, ["embedding_row", "key", "caption"])
    at = int(np.flatnonzero(table["embedding_row"].to_numpy() == embedding_row)[0])
    found: dict[str, Any] = table.slice(at, 1).to_pylist()[0]
    return found
