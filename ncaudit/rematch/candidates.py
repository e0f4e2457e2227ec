"""Which captions each image may be matched with: the nearest of both directions.

FAISS proposes, exact similarities decide: whatever order the index sums in, the edges are
the same for any number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit.matching.heads import unit_rows
from ncaudit.types import Floats, Ints

_SPARE = 8  # neighbours beyond k, for those that are forbidden or tie at the edge
_BLOCK_ROWS = 65_536
_SEARCH_ROWS = 1024
# An inverted file has so many cells, times the root of its rows; a query looks at the cells
# that hold about so many rows, however many there are in all.
_CELLS_PER_ROOT = 2
_PROBED_ROWS = 5_000
_TRAINED_PER_CELL = 64


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images that look for a caption, and captions that can be given away.

    Attributes:
        image: Unit rows of the matching space, shape (n, k), float32.
        caption: Unit rows of the same space, shape (m, k), float32.
        image_group: Only equal groups may be matched, shape (n,).
        caption_group: Shape (m,).
        forbidden: Images and captions that may not be matched, two arrays of shape (f,).
    """

    image: Floats
    caption: Floats
    image_group: Ints
    caption_group: Ints
    forbidden: tuple[Ints, Ints]


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Candidate edges, each once, by image and then caption.

    Attributes:
        rows: Image of every edge, shape (e,).
        columns: Caption of every edge, shape (e,).
        similarity: Cosine of every edge, shape (e,), float32.
        index: What was searched with.
    """

    rows: Ints
    columns: Ints
    similarity: Floats
    index: str


def find_candidates(
    pool: Pool, *, k: int, search_dim: int = 256, flat_limit: int = 50_000
) -> Edges:
    """Return the k nearest captions of every image and the k nearest images of every caption.

    Args:
        pool: Who may be matched with whom.
        k: Neighbours of each direction; ties go to the lower row number.
        search_dim: The index sees this many leading directions; the similarity of what it
            finds is that of all directions.
        flat_limit: Up to this many rows every one is compared; above, an inverted file
            looks at the nearest cells.
    """
    n_columns = len(pool.caption)
    kinds: set[str] = set()
    forward, backward = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for images, captions in _groups(pool):
        image, caption = (
            unit_rows(side[at, :search_dim])
            for side, at in ((pool.image, images), (pool.caption, captions))
        )
        for queries, base, found in (
            (image, caption, forward),
            (caption, image, backward),
        ):
            near, kind = _nearest(queries, base, k + _SPARE, flat_limit)
            at = np.repeat(np.arange(len(near)), near.shape[1])[near.ravel() >= 0]
            to = near.ravel()[near.ravel() >= 0]
            rows, columns = (at, to) if found is forward else (to, at)
            found.append(images[rows] * n_columns + captions[columns])
            kinds.add(kind)
    edges = [_allowed(np.concatenate(keys), pool) for keys in (forward, backward)]
    return _keep_nearest(pool, edges[0], edges[1], k, ", ".join(sorted(kinds)))


def similarities(image: Floats, caption: Floats, rows: Ints, columns: Ints) -> Floats:
    """Return the inner product of image `rows[e]` and caption `columns[e]`, shape (e,).

    Every product is summed by itself, so it does not depend on the others.
    """
    out = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        at = slice(start, start + _BLOCK_ROWS)
        out[at] = np.einsum("ek,ek->e", image[rows[at]], caption[columns[at]])
    return out


def _groups(pool: Pool) -> Iterator[tuple[Ints, Ints]]:
    """Yield the images and the captions of every group that has both."""
    by_image = np.argsort(pool.image_group, kind="stable")
    by_caption = np.argsort(pool.caption_group, kind="stable")
    sorted_images = pool.image_group[by_image]
    sorted_captions = pool.caption_group[by_caption]
    for group in np.intersect1d(sorted_images, sorted_captions):
        sides = ((by_image, sorted_images), (by_caption, sorted_captions))
        images, captions = (
            order[np.searchsorted(values, group) : np.searchsorted(values, group, "right")]
            for order, values in sides
        )
        yield images, captions


def _nearest(queries: Floats, base: Floats, k: int, flat_limit: int) -> tuple[Ints, str]:
    """Return the row numbers of the k nearest rows, -1 where there are fewer, and how."""
    k = min(k, len(base))
    try:
        import faiss
    except ImportError:
        return _compare_all(queries, base, k), "all compared, without faiss"
    index, kind = _build(faiss, base, flat_limit)
    found: Ints = index.search(np.ascontiguousarray(queries), k)[1]
    return found, kind


def _build(faiss: Any, base: Floats, flat_limit: int) -> tuple[Any, str]:
    """Build an index in memory; none is ever read from a file."""
    dim = base.shape[1]
    index, kind = faiss.IndexFlatIP(dim), "faiss flat"
    if len(base) > flat_limit:
        n_cells = int(_CELLS_PER_ROOT * len(base) ** 0.5)
        quantizer = index
        index = faiss.IndexIVFFlat(quantizer, dim, n_cells, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = min(n_cells, max(8, round(n_cells * _PROBED_ROWS / len(base))))
        index.cp.max_points_per_centroid = _TRAINED_PER_CELL
        kind = f"faiss inverted file, {n_cells} cells, {index.nprobe} looked at"
    # faiss-cpu has the function too, and says 0.
    if getattr(faiss, "get_num_gpus", int)() > 0:
        index, kind = faiss.index_cpu_to_all_gpus(index), f"{kind}, on GPU"
    rows = np.ascontiguousarray(base)
    if not index.is_trained:
        index.train(rows)
    index.add(rows)
    return index, kind


def _compare_all(queries: Floats, base: Floats, k: int) -> Ints:
    found = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), _SEARCH_ROWS):
        at = slice(start, start + _SEARCH_ROWS)
        found[at] = np.argsort(-(queries[at] @ base.T), axis=1, kind="stable")[:, :k]
    return found


def _allowed(keys: Ints, pool: Pool) -> Ints:
    never = pool.forbidden[0].astype(np.int64) * len(pool.caption) + pool.forbidden[1]
    kept: Ints = keys[~np.isin(keys, never)]
    return kept


def _keep_nearest(pool: Pool, forward: Ints, backward: Ints, k: int, kind: str) -> Edges:
    """Join both directions, of each query the k nearest by exact similarity."""
    n_columns = len(pool.caption)
    keys = np.unique(np.concatenate([forward, backward]))
    rows, columns = keys // max(n_columns, 1), keys % max(n_columns, 1)
    similarity = similarities(pool.image, pool.caption, rows, columns)
    keep = np.zeros(len(keys), bool)
    for found, query in ((forward, rows), (backward, columns)):
        at = np.searchsorted(keys, found)
        # Keys rise with the other side's number among equal queries: ties keep that order.
        at = at[np.lexsort((keys[at], -similarity[at], query[at]))]
        starts = np.flatnonzero(np.append(True, query[at][1:] != query[at][:-1]))
        counts = np.diff(np.append(starts, len(at))) if len(at) else starts[:0]
        rank = np.arange(len(at)) - np.repeat(starts[: len(counts)], counts)
        keep[at[rank < k]] = True
    return Edges(rows[keep], columns[keep], similarity[keep], kind)
