"""The neighbours of a pair in the raw spaces of its two towers, found with FAISS.

Neighbours in the matching space would only repeat what the matching says; those in the
frozen spaces of images and of captions are evidence of their own.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ncaudit.matching.heads import image_features
from ncaudit.matching.lemon import Neighbours, neighbour_discrepancy
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Floats, Ints

_SPARE = 16  # neighbours looked up beyond k, since captions of the same image do not count
_SEARCH_DIM = 128  # leading directions of a tower's space that the index sees
_CHUNK_ROWS = 2048  # FAISS multiplies matrices: many queries at a time
_GATHER_ROWS = 128  # the partners of so many pairs' neighbours stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourReference:
    """Pairs among which neighbours are looked for.

    Attributes:
        pairs: r pairs of the fit.
        distance: 1 - cosine of each in the matching space, held out, shape (r,), float32.
        k: Neighbours that count in each modality.
    """

    pairs: Pairs
    distance: Floats
    k: int


def draw_reference(
    pairs: Pairs, similarity: Floats, *, n_reference: int, k: int, seed: int
) -> NeighbourReference:
    """Draw the reference from the fit pairs; all of them if there are no more.

    Args:
        pairs: Observed pairs, n of them.
        similarity: Their held-out cosines in the matching space, shape (n,).
        n_reference: Pairs to draw at most.
        k: Neighbours that count.
        seed: Decides the draw.
    """
    rng = np.random.default_rng([seed, 8])
    rows = np.sort(rng.permutation(len(pairs))[:n_reference])
    return NeighbourReference(pairs.take(rows), (1.0 - similarity[rows]).astype(np.float32), k)


def discrepancy(
    reference: NeighbourReference, pairs: Pairs, similarity: Floats, *, aligned: bool
) -> Floats:
    """Return how little the partners of a pair's neighbours resemble its own partner.

    Pairs of the same image or the same caption are no neighbours: captions that move
    together with their image would vouch for each other.

    Args:
        reference: Where neighbours are looked for.
        pairs: Pairs to judge, n of them.
        similarity: Their cosines in the matching space, not trained on, shape (n,).
        aligned: Whether the towers share a space, see `image_features`.

    Returns:
        LEMoN's score, shape (n,), float32; high is bad.

    Source:
        Zhang et al., ICML 2025, arXiv:2407.18941 (LEMoN), fixed weights.

    Differs from the source:
        Distances of pairs are those of the matching space; neighbours of the same image
        or caption do not count; a seeded sample of the pairs stands for all; neighbours
        are found in the leading directions of a tower's space.
    """
    images, captions = _indexed(reference, aligned=aligned)
    out = np.empty(len(pairs), np.float32)
    for at, chunk in pairs.chunks(_CHUNK_ROWS):
        image = image_features(chunk.image, aligned=aligned)
        caption = chunk.caption.astype(np.float32)
        near_image = _search(reference, images, image, chunk)
        near_caption = _search(reference, captions, caption, chunk)
        out[at] = neighbour_discrepancy(
            (1.0 - similarity[at]).astype(np.float64),
            _neighbours(reference, near_image, caption, captions.rows),
            _neighbours(reference, near_caption, image, images.rows),
        )
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """Reference rows near n pairs, most similar first, and which of them do not count."""

    row: Ints
    cosine: Floats
    left_out: Bools


@lru_cache(maxsize=1)
def _indexed(reference: NeighbourReference, *, aligned: bool) -> tuple["_Index", "_Index"]:
    """Index the images and the captions of a reference; a run asks the same one shard by shard."""
    images = image_features(reference.pairs.image, aligned=aligned)
    return _Index(images), _Index(reference.pairs.caption.astype(np.float32))


class _Index:
    """Compares with all reference rows, in the directions in which they are longest.

    Where a space is wide, its leading directions find nearly the same neighbours at a
    quarter of the cost or less.

    Attributes:
        rows: All that it knows of, shape (r, d), float32.
    """

    def __init__(self, rows: Floats) -> None:
        import faiss

        self.rows = rows
        self._directions = _leading(rows, _SEARCH_DIM) if rows.shape[1] > _SEARCH_DIM else None
        seen = self._seen(rows)
        self._index = faiss.IndexFlatIP(seen.shape[1])
        self._index.add(seen)

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Return cosines, as far as the index sees them, and rows, shape (n, k) each."""
        cosine, row = self._index.search(self._seen(queries), k)
        return cosine, row

    def _seen(self, rows: Floats) -> Floats:
        seen = rows if self._directions is None else rows @ self._directions
        return np.ascontiguousarray(seen, np.float32)


def _leading(rows: Floats, dim: int) -> Floats:
    """Return the directions that keep most of the rows' inner products, shape (d, dim)."""
    products = sum(
        (part.T @ part).astype(np.float64)
        for part in np.array_split(rows, max(1, len(rows) // _CHUNK_ROWS))
    )
    vectors = np.linalg.eigh(products)[1]
    return np.ascontiguousarray(vectors[:, : -dim - 1 : -1], np.float32)


def _search(reference: NeighbourReference, index: _Index, queries: Floats, chunk: Pairs) -> _Near:
    n_wanted = min(reference.k + _SPARE, len(reference.pairs))
    cosine, row = index.search(queries, n_wanted)
    left_out = reference.pairs.image_id[row] == chunk.image_id[:, None]
    left_out |= reference.pairs.caption_id[row] == chunk.caption_id[:, None]
    # The nearest that count come first; what is beyond k of them is not looked at.
    order = np.argsort(left_out, axis=1, kind="stable")[:, : reference.k]
    return _Near(
        *(np.take_along_axis(values, order, axis=1) for values in (row, cosine, left_out))
    )


def _neighbours(
    reference: NeighbourReference, near: _Near, own: Floats, partners: Floats
) -> Neighbours:
    cosine = np.empty(near.row.shape, np.float32)
    for start in range(0, len(own), _GATHER_ROWS):
        at = slice(start, start + _GATHER_ROWS)
        cosine[at] = np.einsum("nkd,nd->nk", partners[near.row[at]], own[at])
    return Neighbours(1.0 - near.cosine, 1.0 - cosine, reference.distance[near.row], near.left_out)
