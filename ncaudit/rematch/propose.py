"""Proposals for flagged pairs: space, candidates, transport, and a confidence for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ncaudit.config import RematchConfig
from ncaudit.matching.pairs import Pairs
from ncaudit.rematch.candidates import Edges, Pool, find_candidates
from ncaudit.rematch.confidence import HiddenPairs, fit_confidence
from ncaudit.rematch.duplicates import caption_nodes
from ncaudit.rematch.evidence import (
    N_ALTERNATIVES,
    Found,
    eligible_edges,
    read_proposals,
)
from ncaudit.rematch.nodes import Identities, Nodes, Round, lay_out
from ncaudit.rematch.probes import Members, choose_probes, present_images
from ncaudit.rematch.space import matching_space
from ncaudit.rematch.transport import (
    CandidateGraph,
    InfeasibleMassError,
    TransportNotConvergedError,
    largest_mass,
    partial_transport,
)
from ncaudit.types import Bools, Floats, Ints

_LEAST_PROBES = 50  # fewer cannot tell how often proposals are right
# Few flagged pairs: three sets of probes, each with a space that has not seen them, in two
# rounds with exchanged roles. Many: fewer rounds have probes enough.
_N_SETS = 3
_ONE_SET_ABOVE = 5_000
_ONE_ROUND_ABOVE = 20_000
_MASS_OF_MUTUAL = 1.5  # of the recoverable share, mutual neighbours are about two thirds
_MOST_MASS = 0.9
_LEAST_MASS = 0.05
_TRIES = 8


class UnlearnableError(ValueError):
    """The kept pairs do not teach a matching space."""


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Flagged pairs and kept ones to learn from.

    Attributes:
        pairs: Flagged pairs first, then kept ones.
        n_flagged: How many are flagged.
        p_mismatch: Of every pair, shape (n,).
        group: Only equal groups may be matched, shape (n,), int64.
    """

    pairs: Pairs
    n_flagged: int
    p_mismatch: Floats
    group: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """One proposal at most for each of n flagged pairs.

    Attributes:
        donor: Row (among flagged and kept pairs) whose caption is proposed, -1 for none,
            shape (n,).
        similarity: Of image and proposed caption, NaN for none, shape (n,).
        confidence: P(the proposed caption belongs to the image), shape (n,).
        mass: Transported share of one place, shape (n,).
        margin: Lead over the image's other candidates, shape (n,).
        mutual: Both are each other's nearest, shape (n,).
        alternatives: Rows whose captions come next, -1 for none, shape (n, 3).
        alternative_similarity: Shape (n, 3).
        about: How they were made, JSON-ready.
    """

    donor: Ints
    similarity: Floats
    confidence: Floats
    mass: Floats
    margin: Floats
    mutual: Bools
    alternatives: Ints
    alternative_similarity: Floats
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Space:
    """The form of the matching space.

    Attributes:
        aligned: Whether the towers share a space.
        dim: Its width at most.
        ridge: Of the CCA.
    """

    aligned: bool
    dim: int
    ridge: float


def n_rounds(n_flagged: int) -> int:
    """Return how many rounds `propose` plays."""
    return _n_sets(n_flagged) * (1 if n_flagged > _ONE_ROUND_ABOVE else 2)


def propose(
    suspects: Suspects,
    space: Space,
    config: RematchConfig,
    *,
    seed: int,
    on_round: Callable[[int], None] | None = None,
) -> Proposals:
    """Propose a caption for each flagged pair, with the chance that it is the right one.

    Args:
        suspects: Flagged and kept pairs.
        space: Form of the matching space.
        config: Candidates, pool and transport.
        seed: Decides which kept pairs play flagged ones.
        on_round: Called with 1 after each of `n_rounds` rounds.

    Returns:
        The proposals; none at all where too few pairs were kept to learn from.
    """
    n_flagged = suspects.n_flagged
    probes = [_choose(suspects, seed, number) for number in range(_n_sets(n_flagged))]
    if not n_flagged or min(len(rows) for rows in probes) < _LEAST_PROBES:
        return nothing(n_flagged, "too few pairs are kept to learn from" if n_flagged else "")
    game = _Game(suspects, config, seed, on_round)
    try:
        plays = [play for rows in probes for play in game.play(rows, space)]
    except UnlearnableError as error:
        return nothing(n_flagged, str(error))
    return _judged(suspects, plays)


def _n_sets(n_flagged: int) -> int:
    return 1 if n_flagged > _ONE_SET_ABOVE else _N_SETS


def _choose(suspects: Suspects, seed: int, number: int) -> Ints:
    """Choose one set of probes among the kept pairs."""
    kept = np.arange(suspects.n_flagged, len(suspects.pairs))
    members = Members(suspects.pairs.image_id, suspects.group)
    flagged, others = _rows(members, slice(suspects.n_flagged)), _rows(members, kept)
    rows: Ints = kept[choose_probes(flagged, others, seed=(seed, number))]
    return rows


def nothing(n: int, reason: str) -> Proposals:
    """Return no proposal for each of n pairs, and why."""
    empty = np.full(n, np.nan)
    shape = (n, N_ALTERNATIVES)
    return Proposals(
        donor=np.full(n, -1),
        similarity=empty,
        confidence=empty,
        mass=empty,
        margin=empty,
        mutual=np.zeros(n, bool),
        alternatives=np.full(shape, -1),
        alternative_similarity=np.full(shape, np.nan),
        about={"flagged": n, "proposals": 0} | ({"reason": reason} if reason else {}),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Play:
    """One round: what was found for whom, and how."""

    nodes: Nodes
    found: Found
    about: dict[str, Any]


class _Game:
    """Rounds of hide and seek over one set of pairs."""

    def __init__(
        self,
        suspects: Suspects,
        config: RematchConfig,
        seed: int,
        on_round: Callable[[int], None] | None,
    ) -> None:
        pairs = suspects.pairs
        self._suspects = suspects
        self._config = config
        self._seed = seed
        self._on_round = on_round
        self._who = Identities(pairs.image_id, pairs.caption_id, suspects.group)

    def play(self, probes: Ints, space: Space) -> list[_Play]:
        """Play with one set of probes: where there are few pairs, again with exchanged roles.

        Raises:
            UnlearnableError: If no matching space can be learned from the other kept pairs.
        """
        n_flagged = self._suspects.n_flagged
        learned = np.setdiff1d(np.arange(n_flagged, len(self._suspects.pairs)), probes)
        try:
            heads = matching_space(
                self._suspects.pairs,
                learned,
                1 - self._suspects.p_mismatch[learned],
                aligned=space.aligned,
                dim=space.dim,
                ridge=space.ridge,
            )
        except ValueError as error:
            raise UnlearnableError(f"no matching space: {error}") from error
        sides = heads.project(self._suspects.pairs)
        hidden = present_images(self._who.image_id[probes], seed=self._seed)
        roles = [hidden] if n_flagged > _ONE_ROUND_ABOVE else [hidden, ~hidden]
        return [self._round(sides, probes, role) for role in roles]

    def _round(self, sides: tuple[Floats, Floats], probes: Ints, hidden: Bools) -> _Play:
        nodes = lay_out(self._who, self._players(probes, hidden))
        pool = Pool(
            image=sides[0][nodes.image_row],
            caption=sides[1][nodes.caption_row],
            image_group=self._who.group[nodes.image_row],
            caption_group=self._who.group[nodes.caption_row],
            forbidden=nodes.forbidden,
        )
        edges = find_candidates(
            pool,
            k=self._config.neighbours,
            search_dim=self._config.search_dim,
            flat_limit=self._config.flat_limit,
        )
        frozen = self._suspects.pairs.caption[nodes.caption_row]
        node = caption_nodes(edges, frozen, least_cosine=self._config.duplicate_cosine)
        edges = _one_per_node(edges, node, nodes)
        allowed = eligible_edges(edges, nodes)
        mass, moved = self._transport(edges, node, nodes)
        about = {"index": edges.index, "edges": len(edges.rows), "mass": round(moved, 4)}
        if self._on_round:
            self._on_round(1)
        found = read_proposals(
            edges, mass, node, nodes, allowed, temperature=self._config.temperature
        )
        return _Play(nodes, found, about)

    def _players(self, probes: Ints, hidden: Bools) -> Round:
        n_flagged = self._suspects.n_flagged
        kept = np.arange(n_flagged, len(self._who.image_id))
        donors = np.setdiff1d(kept, probes) if self._config.pool == "all" else kept[:0]
        return Round(np.arange(n_flagged), probes[hidden], probes[~hidden], donors)

    def _transport(self, edges: Edges, node: Ints, nodes: Nodes) -> tuple[Floats, float]:
        """Return the share of a place that each edge moves, and the share moved in all."""
        total = float(nodes.image_capacity.sum())
        if not len(edges.rows):
            return np.zeros(0), 0.0
        graph = CandidateGraph(
            rows=edges.rows,
            columns=node[edges.columns],
            costs=1.0 - edges.similarity.astype(np.float64),
            row_capacity=nodes.image_capacity / total,
            column_capacity=np.bincount(node, nodes.caption_capacity) / total,
        )
        mass = _wanted_mass(edges, graph)
        for _ in range(_TRIES):
            try:
                plan = partial_transport(
                    graph, mass=mass, regularisation=self._config.regularisation
                )
            except InfeasibleMassError:
                mass = 0.9 * min(mass, largest_mass(graph))
            except TransportNotConvergedError:
                mass *= 0.8
            else:
                return np.clip(plan.edge_mass * total, 0.0, 1.0), mass
        raise TransportNotConvergedError(f"no plan down to a mass of {mass:.3g}")


def _judged(suspects: Suspects, plays: list[_Play]) -> Proposals:
    """Return what the first round proposes, with the confidence that all rounds teach."""
    n = suspects.n_flagged
    found = plays[0].found
    flagged, has = found.evidence[:n], found.caption[:n] >= 0
    if not has.any():
        return nothing(n, "no flagged pair has another's caption to choose from")
    hidden = _joined([_hidden(suspects, play) for play in plays])
    p = suspects.p_mismatch
    mismatched = float(p[:n].mean())
    # A partner is there if its pair was flagged too, and one of several is enough.
    times = plays[0].nodes.image_capacity[plays[0].nodes.image_of[:n]]
    guess = mismatched * float(p[:n].sum() / p.sum())
    confidence = fit_confidence(
        hidden,
        flagged[has],
        guess=float(np.mean(1 - (1 - guess) ** times)),
        most=float(np.mean(1 - (1 - mismatched) ** times)),
    )
    chance = np.full(n, np.nan)
    chance[has] = confidence.of(flagged[has])
    about = plays[0].about | {
        "flagged": n,
        "proposals": int(has.sum()),
        "hidden": len(hidden.weight),
        "recoverable_share": round(confidence.share, 4),
        "recoverable_share_deviation": round(confidence.deviation, 4),
    }
    return _proposals(plays[0].nodes, found, chance, n, about)


def _hidden(suspects: Suspects, play: _Play) -> HiddenPairs:
    """Return what came of the probes of a round."""
    nodes, found = play.nodes, play.found
    rows = np.flatnonzero(nodes.is_probe & (found.caption >= 0))
    image = nodes.image_of[rows]
    n_captions = max(len(nodes.caption_row), 1)
    own = nodes.own[0] * n_captions + nodes.own[1]
    return HiddenPairs(
        evidence=found.evidence[rows],
        weight=1 - suspects.p_mismatch[nodes.seekers[rows]],
        image_id=suspects.pairs.image_id[nodes.seekers[rows]],
        is_present=np.isin(image, nodes.own[0]),
        is_right=np.isin(image * n_captions + found.caption[rows], own),
    )


def _rows(members: Members, at: slice | Ints) -> Members:
    return Members(members.image_id[at], members.group[at])


def _joined(parts: list[HiddenPairs]) -> HiddenPairs:
    return HiddenPairs(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in HiddenPairs.__dataclass_fields__
        }
    )


def _one_per_node(edges: Edges, node: Ints, nodes: Nodes) -> Edges:
    """Keep of near-duplicate captions the one most similar to the image, if none is its own."""
    n_nodes = int(node.max()) + 1 if len(node) else 1
    key = edges.rows * n_nodes + node[edges.columns]
    never = nodes.forbidden[0] * n_nodes + node[nodes.forbidden[1]]
    order = np.lexsort((edges.columns, -edges.similarity, key))
    first = np.unique(key[order], return_index=True)[1]
    best = order[first]
    best = np.sort(best[~np.isin(key[best], never)])
    return Edges(edges.rows[best], edges.columns[best], edges.similarity[best], edges.index)


def _wanted_mass(edges: Edges, graph: CandidateGraph) -> float:
    """Return the mass to move: the share that mutual nearest neighbours suggest."""
    n_rows, n_columns = graph.row_capacity.size, graph.column_capacity.size
    nearest = _nearest(edges.rows, graph.columns, edges.similarity, n_rows)
    back = _nearest(graph.columns, edges.rows, edges.similarity, n_columns)
    has = np.flatnonzero(nearest >= 0)
    mutual = float((back[nearest[has]] == has).sum()) / n_rows
    share = _MOST_MASS * min(1.0, mutual * _MASS_OF_MUTUAL)
    most = min(float(graph.row_capacity.sum()), float(graph.column_capacity.sum()))
    return max(share, _LEAST_MASS) * most


def _nearest(queries: Ints, others: Ints, similarity: Floats, n: int) -> Ints:
    order = np.lexsort((others, -similarity, queries))
    values, first = np.unique(queries[order], return_index=True)
    nearest = np.full(n, -1, np.int64)
    nearest[values] = others[order][first]
    return nearest


def _proposals(
    nodes: Nodes, found: Found, confidence: Floats, n: int, about: dict[str, Any]
) -> Proposals:
    def row_of(caption: Ints) -> Ints:
        return np.where(caption >= 0, nodes.caption_row[caption], -1)

    mass, margin, _, similarity, _ = found.evidence[:n].T
    return Proposals(
        donor=row_of(found.caption[:n]),
        similarity=similarity,
        confidence=confidence,
        mass=mass,
        margin=margin,
        mutual=found.mutual[:n],
        alternatives=row_of(found.alternatives[:n]),
        alternative_similarity=found.alternative_similarity[:n],
        about=about,
    )
