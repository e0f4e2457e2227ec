"""The neighbours that LEMoN asks: found by FAISS in the frozen space of each tower alone."""

from dataclasses import dataclass

import numpy as np

from ncaudit.matching.lemon import Neighbours
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Floats, Ints

_CHUNK_PAIRS = 1024
_SPARE = 10  # neighbours that may turn out to share an image or a caption with the pair


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourRows:
    """The nearest pairs of n pairs in one modality.

    Attributes:
        row: Rows of the neighbours, nearest first, shape (n, k).
        distance: Minus the cosine in that modality, shape (n, k).
        left_out: True where there is no further neighbour, shape (n, k).
    """

    row: Ints
    distance: Floats
    left_out: Bools


def both_neighbours(
    pairs: Pairs, pair_distance: Floats, *, k: int
) -> tuple[Neighbours, Neighbours]:
    """Return the k neighbours of each pair's image, and those of its caption.

    Pairs of the same image or with the same caption are nobody's neighbours.

    Args:
        pairs: n pairs.
        pair_distance: 1 - similarity of each, shape (n,).
        k: Neighbours in each modality.
    """
    by_image = _nearest_pairs(pairs, pairs.image, pairs.image_id, k)
    by_caption = _nearest_pairs(pairs, pairs.caption, pairs.caption_id, k)
    return (
        _with_partners(by_image, pairs.caption, pair_distance),
        _with_partners(by_caption, pairs.image, pair_distance),
    )


def _nearest_pairs(pairs: Pairs, vectors: Floats, ids: Ints, k: int) -> NeighbourRows:
    """Search among the different images (or captions), then list the pairs that have them."""
    import faiss

    _, first, item = np.unique(ids, return_index=True, return_inverse=True)
    unique = np.ascontiguousarray(vectors[first].astype(np.float32))
    index = faiss.IndexFlatIP(unique.shape[1])
    index.add(unique)
    n_near = min(k + 1 + _SPARE, len(unique))  # the item itself is its own nearest
    cosine, near = index.search(unique, n_near)
    listed = _listed(item, k + _SPARE)
    n = len(item)
    found = NeighbourRows(
        np.zeros((n, k), np.int64), np.zeros((n, k), np.float32), np.ones((n, k), bool)
    )
    for start in range(0, n, _CHUNK_PAIRS):
        rows = np.arange(start, min(start + _CHUNK_PAIRS, n))
        near_rows = listed[near[item[rows]]].reshape(len(rows), -1)
        near_cosine = np.repeat(cosine[item[rows]], listed.shape[1], axis=1)
        _fill(found, rows, _usable(pairs, rows, near_rows), (near_rows, near_cosine))
    return found


def _listed(item: Ints, at_most: int) -> Ints:
    """Return the rows of the pairs of each item, -1 for none, shape (items, most pairs)."""
    counts = np.bincount(item)
    width = min(int(counts.max()), at_most)
    order = np.argsort(item, kind="stable")
    place = np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(counts), width), -1)
    kept = place < width
    table[item[order][kept], place[kept]] = order[kept]
    return table


def _usable(pairs: Pairs, rows: Ints, near_rows: Ints) -> Bools:
    usable: Bools = near_rows >= 0
    usable &= pairs.image_id[near_rows] != pairs.image_id[rows][:, None]
    usable &= pairs.caption_id[near_rows] != pairs.caption_id[rows][:, None]
    return usable


def _fill(found: NeighbourRows, rows: Ints, usable: Bools, near: tuple[Ints, Floats]) -> None:
    """Keep the first k usable neighbours; `near` is their rows and cosines."""
    k = found.row.shape[1]
    first = np.argsort(~usable, axis=1, kind="stable")[:, :k]
    width = first.shape[1]
    kept = np.take_along_axis(usable, first, axis=1)
    found.row[rows, :width] = np.where(kept, np.take_along_axis(near[0], first, axis=1), 0)
    found.distance[rows, :width] = np.where(kept, -np.take_along_axis(near[1], first, axis=1), 0.0)
    found.left_out[rows, :width] = ~kept


def _with_partners(near: NeighbourRows, partner: Floats, pair_distance: Floats) -> Neighbours:
    distance = np.empty(near.row.shape, np.float32)
    for start in range(0, len(partner), _CHUNK_PAIRS):
        rows = slice(start, start + _CHUNK_PAIRS)
        own = partner[rows].astype(np.float32)
        others = partner[near.row[rows]].astype(np.float32)
        distance[rows] = 1 - np.einsum("nd,nkd->nk", own, others, optimize=True)
    return Neighbours(near.distance, distance, pair_distance[near.row], near.left_out)
