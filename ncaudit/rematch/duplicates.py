"""Captions that say the same in almost the same words share one node of the transport."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ncaudit.rematch.candidates import Edges
from ncaudit.types import Floats, Ints

_LOOKED_AT = 8  # nearest captions of an image among which near duplicates are looked for
_MAX_LAG = 2
_BLOCK_PAIRS = 65_536


def caption_nodes(edges: Edges, caption: Floats, *, least_cosine: float) -> Ints:
    """Number the captions so that near duplicates have one number.

    Near duplicates stand side by side among the captions nearest to an image, so only
    neighbours in such a list are compared: the effort grows with the edges, not with the
    square of the captions. Those that are near no image take part in nothing anyway.

    Args:
        edges: Candidate edges of the captions.
        caption: Their frozen embeddings, unit rows, shape (m, d).
        least_cosine: Captions more alike than this are one.

    Returns:
        Node of every caption, numbered from 0 by its first caption, shape (m,), int64.
    """
    m = len(caption)
    left, right = _side_by_side(edges, m)
    same = _cosine(caption, left, right) > least_cosine
    links = (np.ones(int(same.sum())), (left[same], right[same]))
    _, node = connected_components(coo_array(links, shape=(m, m)), directed=False)
    first, inverse = np.unique(node, return_index=True, return_inverse=True)[1:]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    numbered: Ints = rank[inverse]
    return numbered


def _side_by_side(edges: Edges, m: int) -> tuple[Ints, Ints]:
    """Return pairs of captions that are neighbours among the nearest of some image."""
    order = np.lexsort((edges.columns, -edges.similarity, edges.rows))
    rows, columns = edges.rows[order], edges.columns[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    found = [np.zeros(0, np.int64)]
    for lag in range(1, _MAX_LAG + 1):
        both = (rows[lag:] == rows[:-lag]) & (rank[lag:] < _LOOKED_AT)
        ends = columns[lag:][both], columns[:-lag][both]
        found.append(np.minimum(*ends) * m + np.maximum(*ends))
    keys = np.unique(np.concatenate(found))
    return keys // max(m, 1), keys % max(m, 1)


def _cosine(caption: Floats, left: Ints, right: Ints) -> Floats:
    out = np.empty(len(left), np.float32)
    for start in range(0, len(left), _BLOCK_PAIRS):
        at = slice(start, start + _BLOCK_PAIRS)
        sides = (caption[left[at]].astype(np.float32), caption[right[at]].astype(np.float32))
        out[at] = np.einsum("ek,ek->e", *sides)
    return out
