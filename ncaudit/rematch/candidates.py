"""Which captions each image may be matched with: the nearest of both directions.

FAISS proposes, exact similarities decide: whatever order the index sums in, the edges are
the same for any number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit.matching.heads import unit_rows
from ncaudit.types import Bools, Floats, Ints

_SPARE = 8  # neighbours beyond k, for those that are forbidden or tie at the edge
_BLOCK_EDGES = 4096  # their embeddings stay in the cache
_SEARCH_ROWS = 1024
# An inverted file has so many cells, times the root of its rows; a query looks at the cells
# that hold about so many rows, however many there are in all.
_CELLS_PER_ROOT = 2
_PROBED_ROWS = 3_000
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
    kinds: set[str] = set()
    found = [_Edges(np.zeros(0, np.int64), np.zeros(0, np.float32))]
    never = np.sort(_keys(pool, *pool.forbidden))
    for images, captions in _groups(pool):
        image, caption = (
            unit_rows(side[at, :search_dim])
            for side, at in ((pool.image, images), (pool.caption, captions))
        )
        near, kind = _nearest(image, caption, k + _SPARE, flat_limit)
        found.append(_keep_nearest(pool, images[:, None], _named(captions, near), never, k))
        kinds.add(kind)
        near, kind = _nearest(caption, image, k + _SPARE, flat_limit)
        found.append(_keep_nearest(pool, _named(images, near), captions[:, None], never, k))
        kinds.add(kind)
    keys = np.concatenate([each.key for each in found])
    keys, first = np.unique(keys, return_index=True)
    similarity = np.concatenate([each.similarity for each in found])[first]
    n_columns = max(len(pool.caption), 1)
    return Edges(keys // n_columns, keys % n_columns, similarity, ", ".join(sorted(kinds)))


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


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Edges of one direction by their keys."""

    key: Ints
    similarity: Floats


def _keys(pool: Pool, image: Ints, caption: Ints) -> Ints:
    """Number the pairs of an image and a caption, by image and then caption."""
    keys: Ints = image.astype(np.int64) * len(pool.caption) + caption
    return keys


def _named(rows: Ints, near: Ints) -> Ints:
    """Return the neighbours under the pool's numbers, in rising order, -1 for none."""
    named = np.where(near >= 0, rows[near], -1)
    named.sort(axis=1)
    return named


def _keep_nearest(pool: Pool, image: Ints, caption: Ints, never: Ints, k: int) -> _Edges:
    """Keep of the candidates of every query, a row each, the k nearest by exact similarity.

    Every product is summed by itself, so it does not depend on the others.
    """
    found = [_Edges(np.zeros(0, np.int64), np.zeros(0, np.float32))]
    n, width = np.broadcast_shapes(image.shape, caption.shape)
    n_rows = max(1, _BLOCK_EDGES // max(width, 1))
    for start in range(0, n, n_rows):
        at = slice(start, start + n_rows)
        rows, columns = np.broadcast_arrays(image[at], caption[at])
        sides = pool.image[rows.ravel()], pool.caption[columns.ravel()]
        similarity = np.einsum("ek,ek->e", *sides).reshape(rows.shape)
        keys = _keys(pool, rows, columns)
        similarity[(rows < 0) | (columns < 0) | _is_in(keys, never)] = -np.inf
        # Candidates are in the order of their numbers: among equals the lower one stays.
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        keys = np.take_along_axis(keys, order, 1)
        similarity = np.take_along_axis(similarity, order, 1)
        kept = similarity > -np.inf
        found.append(_Edges(keys[kept], similarity[kept]))
    return _Edges(
        np.concatenate([each.key for each in found]),
        np.concatenate([each.similarity for each in found]),
    )


def _is_in(keys: Ints, ordered: Ints) -> Bools:
    """Tell which keys are among ordered ones, in the shape of the keys."""
    if not len(ordered):
        return np.zeros(keys.shape, bool)
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    same: Bools = ordered[at] == keys
    return same
