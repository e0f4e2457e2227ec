"""What speaks for each proposal: its transported mass, how far ahead it is, its similarity."""

from dataclasses import dataclass

import numpy as np

from ncaudit.rematch.candidates import Edges
from ncaudit.rematch.nodes import Nodes
from ncaudit.types import Bools, Floats, Ints

EVIDENCE = ("mass", "margin", "caption_margin", "similarity", "match")
N_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One proposal for each of s seekers; -1 and NaN where there is none.

    Attributes:
        caption: Proposed distinct caption, shape (s,).
        node: Its node of the transport, shape (s,).
        evidence: As EVIDENCE says, high speaks for the proposal, shape (s, 5).
        mutual: Both are among each other's nearest, as many as they have places, shape (s,).
        alternatives: The captions next in line, shape (s, 3).
        alternative_similarity: Their similarities, shape (s, 3).
    """

    caption: Ints
    node: Ints
    evidence: Floats
    mutual: Bools
    alternatives: Ints
    alternative_similarity: Floats


def eligible_edges(edges: Edges, nodes: Nodes) -> Bools:
    """Tell which edges can become proposals, shape (e,).

    Nobody may be given a probe's caption but the probe itself: so a probe chooses among as
    many captions as a flagged image does.
    """
    key = edges.rows.astype(np.int64) * len(nodes.caption_row) + edges.columns
    own = nodes.own[0].astype(np.int64) * len(nodes.caption_row) + nodes.own[1]
    allowed: Bools = ~nodes.is_probes[edges.columns] | np.isin(key, own)
    return allowed


def match_probability(edges: Edges, caption_node: Ints, temperature: float) -> Floats:
    """Return (P + Q) / 2, the softmax of each edge among its image's and its caption's.

    Args:
        edges: Candidate edges; what is no candidate counts for nothing.
        caption_node: Node of every distinct caption, shape (m,).
        temperature: tau, at least 0.003: above it nothing underflows.

    Returns:
        Shape (e,), in (0, 1].

    Source:
        Qin et al., NeurIPS 2023, arXiv:2310.17468 (match probability, there of a batch).
    """
    column = caption_node[edges.columns]
    grown = np.exp((edges.similarity.astype(np.float64) - 1.0) / temperature)
    of_image = grown / np.bincount(edges.rows, grown)[edges.rows]
    of_caption = grown / np.bincount(column, grown)[column]
    mean: Floats = (of_image + of_caption) / 2
    return mean


def read_proposals(
    edges: Edges,
    mass: Floats,
    caption_node: Ints,
    nodes: Nodes,
    allowed: Bools,
    *,
    temperature: float,
) -> Found:
    """Give every seeker the edge of its image with the most mass that is still free.

    Args:
        edges: Candidate edges of n images, by image; one per image and caption node.
        mass: Transported share of one caption's place, in [0, 1], shape (e,).
        caption_node: Node of every distinct caption, shape (m,).
        nodes: The images and captions of the edges.
        allowed: Edges that may be proposed, shape (e,).
        temperature: tau of the match probabilities.
    """
    lead = _lead_over_others(edges, caption_node)
    match = match_probability(edges, caption_node, temperature)
    at = np.flatnonzero(allowed)
    rows, similarity = edges.rows[at], edges.similarity[at]
    order = np.lexsort((edges.columns[at], -similarity, -mass[at], rows))
    nearest = np.lexsort((edges.columns[at], -similarity, rows))
    n_images = len(nodes.image_row)
    start = np.searchsorted(rows, np.arange(n_images))
    count = np.bincount(rows, minlength=n_images)
    lists = _Lists(at[order], at[nearest], start, count)
    nth = _nth_of_its_image(nodes.image_of)
    return _Reader(edges, mass, lead, match, caption_node, nodes).read(lists, nth)


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """Edges of every image: by mass, and by similarity."""

    by_mass: Ints
    by_similarity: Ints
    start: Ints
    count: Ints

    def pick(self, which: Ints, image: Ints, nth: Ints) -> Ints:
        """Return the nth edge of each image, -1 where it has no so many."""
        there = nth < self.count[image]
        edge = np.full(len(image), -1, np.int64)
        edge[there] = which[(self.start[image] + nth)[there]]
        return edge


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    edges: Edges
    mass: Floats
    lead: Floats
    match: Floats
    caption_node: Ints
    nodes: Nodes

    def read(self, lists: _Lists, nth: Ints) -> Found:
        image = self.nodes.image_of
        places = self.nodes.image_capacity[image]
        edge = lists.pick(lists.by_mass, image, nth)
        has = edge >= 0
        similarity = self._at(self.edges.similarity, edge)
        # Ahead of the best one that gets none of the image's places.
        last = self._at(self.edges.similarity, lists.pick(lists.by_similarity, image, places - 1))
        after = self._at(self.edges.similarity, lists.pick(lists.by_similarity, image, places))
        margin = np.where(similarity >= last, similarity - after, similarity - last)
        alone = has & np.isnan(margin)
        margin[alone] = 1.0  # nothing else is near
        caption_margin = self._at(self.lead, edge)
        match = self._at(self.match, edge)
        columns = [self._at(self.mass, edge), margin, caption_margin, similarity, match]
        others = np.stack(
            [
                lists.pick(lists.by_mass, image, nth + step)
                for step in range(1, N_ALTERNATIVES + 1)
            ],
            axis=1,
        )
        caption = np.where(has, self.edges.columns[edge], -1) if len(edge) else edge
        return Found(
            caption=caption,
            node=np.where(has, self.caption_node[caption], -1) if len(edge) else edge,
            evidence=np.stack(columns, axis=1),
            mutual=has & (margin >= 0) & (caption_margin >= 0) & (similarity >= last),
            alternatives=np.where(others >= 0, self.edges.columns[others], -1)
            if len(edge)
            else others,
            alternative_similarity=self._at(self.edges.similarity, others),
        )

    def _at(self, values: Floats, edge: Ints) -> Floats:
        out = np.full(edge.shape, np.nan)
        out[edge >= 0] = values[edge[edge >= 0]]
        return out


def _lead_over_others(edges: Edges, caption_node: Ints) -> Floats:
    """Return how much more similar each edge is than its caption's best other image."""
    column = caption_node[edges.columns]
    order = np.lexsort((edges.rows, -edges.similarity, column))
    sorted_column, sorted_similarity = column[order], edges.similarity[order].astype(np.float64)
    first = np.searchsorted(sorted_column, sorted_column)
    n_same = np.bincount(column, minlength=int(column.max()) + 1 if len(column) else 0)
    second = np.minimum(first + 1, len(order) - 1)
    is_first = np.arange(len(order)) == first
    rival = np.where(is_first, sorted_similarity[second], sorted_similarity[first])
    lead = sorted_similarity - rival
    lead[n_same[sorted_column] < 2] = 1.0  # no other image is near
    out = np.empty(len(order))
    out[order] = lead
    return out


def _nth_of_its_image(image_of: Ints) -> Ints:
    """Return how many seekers of the same image come before each."""
    order = np.argsort(image_of, kind="stable")
    nth = np.empty(len(image_of), np.int64)
    nth[order] = np.arange(len(order)) - np.searchsorted(image_of[order], image_of[order])
    return nth
