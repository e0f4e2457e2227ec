"""Sparse partial optimal transport: move a given mass of images to captions along candidate edges.

Separate from the candidate search and from acceptance: numbers in, numbers out.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit.types import Floats, Ints

_CHECK_EVERY = 20  # iterations between two looks at the marginal error
_PLAIN_CHECKS = 2  # looks before the over-relaxation may start
_MAX_RELAXATION = 1.998
_ABSORB_AT = 50.0  # exp(2 * 50) is far from overflow in float64
_ROUGH_TOLERANCE = 1e-3  # enough for a coarser problem whose potentials start the next one
_ROUGH_ITERATIONS = 200
_LEAST_SLACK = 1e-12  # with none at all, a potential would be infinite


class TransportError(ValueError):
    """No plan of the wanted mass was found."""


class InfeasibleMassError(TransportError):
    """The candidate edges cannot carry the wanted mass."""


class TransportNotConvergedError(TransportError):
    """The edges can carry the mass, but the iterations ended before the marginals were met."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateGraph:
    """Who may be matched with whom, at what cost, and how often.

    Attributes:
        rows: Image of every edge, integers in [0, n_rows), shape (e,).
        columns: Caption of every edge, integers in [0, n_columns), shape (e,).
        costs: Finite cost of every edge, e.g. 1 - cosine, shape (e,).
        row_capacity: Most mass that may leave an image, > 0, shape (n_rows,).
        column_capacity: Most mass a caption may receive, > 0, shape (n_columns,); m times
            as much for a caption that occurs m times.

    Raises:
        ValueError: If shapes or numbers are not as described, or an edge occurs twice.
    """

    rows: Ints
    columns: Ints
    costs: Floats
    row_capacity: Floats
    column_capacity: Floats

    def __post_init__(self) -> None:
        if not self.rows.shape == self.columns.shape == self.costs.shape == (self.costs.size,):
            raise ValueError("rows, columns and costs must be vectors of one length")
        _check_nodes(self.rows, self.row_capacity, "row")
        _check_nodes(self.columns, self.column_capacity, "column")
        if not np.isfinite(self.costs).all():
            raise ValueError("every edge needs a finite cost")
        edges = np.sort(self.rows.astype(np.int64) * self.column_capacity.size + self.columns)
        if (edges[1:] == edges[:-1]).any():
            raise ValueError("an edge occurs twice")


def uniform_graph(
    rows: Ints, columns: Ints, costs: Floats, *, n_rows: int, n_columns: int
) -> CandidateGraph:
    """Return the graph in which every image and every caption may be used once.

    Capacities are 1 / n_rows: mass is a share of the images, `n_rows * edge_mass` in [0, 1].
    """
    each = 1.0 / max(n_rows, 1)
    return CandidateGraph(rows, columns, costs, np.full(n_rows, each), np.full(n_columns, each))


@dataclass(frozen=True, slots=True, eq=False)
class TransportPlan:
    """How much mass goes along every edge.

    Attributes:
        edge_mass: Mass of every edge >= 0, in the order of the graph's edges, shape (e,).
        marginal_error: Sum of what all nodes miss or exceed, as a share of their capacity.
        n_iterations: Iterations done at the wanted regularisation.
    """

    edge_mass: Floats
    marginal_error: float
    n_iterations: int


def partial_transport(
    graph: CandidateGraph,
    *,
    mass: float,
    regularisation: float = 0.02,
    tolerance: float = 5e-7,
    max_iterations: int = 4000,
) -> TransportPlan:
    """Move exactly `mass` along the edges at the least cost, smoothed by entropy.

    A slack column takes what the images keep and a slack row gives what the captions miss,
    free of cost. No edge joins the two, so they leave the wanted mass. O(e) per iteration.

    Args:
        graph: Candidate edges and capacities.
        mass: Mass to be moved, > 0, in the unit of the capacities.
        regularisation: Weight of the entropy, > 0, in the unit of the costs.
        tolerance: Largest sum of marginal errors, as a share of the total capacity.
        max_iterations: Row and column updates at most.

    Returns:
        The plan; its mass differs from `mass` by at most `tolerance` times the capacity.

    Raises:
        ValueError: If `mass` or `regularisation` is not positive.
        InfeasibleMassError: If the edges cannot carry `mass`.
        TransportNotConvergedError: If they can, but not within `max_iterations`.

    Source:
        Slack nodes: Chapel et al., NeurIPS 2020, arXiv:2002.08276, as in L2RM (Han et al.,
        CVPR 2024, arXiv:2403.05105). Sinkhorn: Cuturi, NeurIPS 2013; stabilised: Schmitzer,
        SISC 2019; over-relaxed: Thibault et al., Algorithms 2021, arXiv:1711.01851.

    Differs from the source:
        Sparse, where others give non-candidates a large cost. No slack-to-slack edge, so
        the mass is exact. Stops on the marginal error, not on the change of potentials.
    """
    if not (mass > 0 and regularisation > 0):
        raise ValueError("mass and regularisation must be positive")
    _refuse_plain_excess(graph, mass)
    solver = _Sinkhorn(graph, mass)
    for coarse in _coarse_to_fine(graph.costs, regularisation):
        solver.regularise(coarse)
        solver.run(_ROUGH_TOLERANCE, _ROUGH_ITERATIONS)
    solver.regularise(regularisation)
    error, n_iterations = solver.run(tolerance, max_iterations)
    if not error <= tolerance:
        most = largest_mass(graph)
        if most < mass * (1 - 1e-9):
            raise InfeasibleMassError(f"the edges carry at most {most:.6g}, not {mass:.6g}")
        raise TransportNotConvergedError(f"error {error:.2g} after {n_iterations} iterations")
    return TransportPlan(solver.edge_mass(), error, n_iterations)


def largest_mass(graph: CandidateGraph) -> float:
    """Return the most mass the edges can carry whatever the cost: a maximum flow.

    Exact if all capacities are multiples of the smallest; others are rounded down by up to
    1e-9 of their total each.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    if graph.costs.size == 0:
        return 0.0
    n_rows, n_columns = graph.row_capacity.size, graph.column_capacity.size
    capacity = np.concatenate([graph.row_capacity, graph.column_capacity])
    multiples = capacity / capacity.min()
    is_exact = np.abs(multiples - np.rint(multiples)).max() < 1e-9 and multiples.sum() < 2**30
    unit = float(capacity.min() if is_exact else capacity.sum() / 2**30)
    units = np.floor(capacity / unit + 1e-6).astype(np.int32)
    source, sink = n_rows + n_columns, n_rows + n_columns + 1
    ends, nodes = graph.columns + n_rows, np.arange(n_rows + n_columns)
    start = np.concatenate([graph.rows, np.full(n_rows, source), nodes[n_rows:]])
    end = np.concatenate([ends, nodes[:n_rows], np.full(n_columns, sink)])
    flow = np.concatenate([np.minimum(units[graph.rows], units[ends]), units])
    network = csr_array((flow, (start, end)), shape=(sink + 1, sink + 1), dtype=np.int32)
    return float(maximum_flow(network, source, sink).flow_value) * unit


def _check_nodes(nodes: Ints, capacity: Floats, side: str) -> None:
    if capacity.ndim != 1 or not (np.isfinite(capacity) & (capacity > 0)).all():
        raise ValueError(f"{side} capacities must be a vector of positive numbers")
    if nodes.size and not (nodes.min() >= 0 and nodes.max() < capacity.size):
        raise ValueError(f"an edge points at a {side} outside [0, {capacity.size})")


def _refuse_plain_excess(graph: CandidateGraph, mass: float) -> None:
    """Raise if the capacity of the nodes that have an edge already shows `mass` is too much."""
    for nodes, capacity in (
        (graph.rows, graph.row_capacity),
        (graph.columns, graph.column_capacity),
    ):
        most = capacity[np.bincount(nodes, minlength=capacity.size) > 0].sum()
        if mass > most * (1 + 1e-9):
            raise InfeasibleMassError(f"nodes with an edge hold {most:.6g}, not {mass:.6g}")


class _Sinkhorn:
    """Over-relaxed Sinkhorn on the edges and the slack edges; potentials are kept as logs."""

    def __init__(self, graph: CandidateGraph, mass: float) -> None:
        from scipy.sparse import csr_array

        n_rows, n_columns = graph.row_capacity.size, graph.column_capacity.size
        rows = np.concatenate([graph.rows, np.arange(n_rows), np.full(n_columns, n_rows)])
        columns = np.concatenate([graph.columns, np.full(n_rows, n_columns), np.arange(n_columns)])
        costs = np.concatenate([graph.costs, np.zeros(n_rows + n_columns)]).astype(np.float64)
        self._n_edges = graph.costs.size
        self._order = np.lexsort((columns, rows))
        self._row, self._column = rows[self._order], columns[self._order]
        self._costs = costs[self._order]
        self._row_mass = _with_slack(graph.row_capacity, graph.column_capacity, mass)
        self._column_mass = _with_slack(graph.column_capacity, graph.row_capacity, mass)
        starts = np.searchsorted(self._row, np.arange(n_rows + 2))
        # The cheapest edge of every row has a kernel entry of 1: no row can underflow.
        self._row_cost = np.minimum.reduceat(self._costs, starts[:-1])
        self._column_cost, self._regularisation = np.zeros(n_columns + 1), 1.0
        self._kernel: Any = csr_array((self._entries(), self._column, starts))
        self._transposed: Any = self._kernel.T  # shares the entries
        self._row_scale, self._column_scale = np.ones(n_rows + 1), np.ones(n_columns + 1)

    def regularise(self, regularisation: float) -> None:
        """Go on with another weight of the entropy, from the potentials reached so far."""
        # As potentials the scales cannot overflow, and keep their meaning.
        self._row_cost = self._row_cost + self._regularisation * np.log(self._row_scale)
        self._column_cost = self._column_cost + self._regularisation * np.log(self._column_scale)
        self._row_scale[:] = 1.0
        self._column_scale[:] = 1.0
        self._regularisation = regularisation
        self._kernel.data[:] = self._entries()

    def run(self, tolerance: float, max_iterations: int) -> tuple[float, int]:
        """Iterate; return the marginal error and the number of iterations."""
        relaxation, errors = 1.0, [np.inf]
        for iteration in range(1, max_iterations + 1):
            check = iteration % _CHECK_EVERY == 0 or iteration == max_iterations
            self._update(relaxation, 1.0 if check else relaxation)
            if not check:
                continue
            # The columns were just met without relaxation: only rows can be off.
            missed = self._row_sums() - self._row_mass
            errors.append(float(np.abs(missed).sum() / self._row_mass.sum()))
            if errors[-1] <= tolerance:
                return errors[-1], iteration
            if len(errors) > _PLAIN_CHECKS:
                relaxation = _next_relaxation(relaxation, errors)
            scales = np.log(np.concatenate([self._row_scale, self._column_scale]))
            if np.abs(scales).max() > _ABSORB_AT:
                self.regularise(self._regularisation)
        return errors[-1], max_iterations

    def edge_mass(self) -> Floats:
        """Return the mass of the graph's own edges, in their order."""
        mass = self._row_scale[self._row] * self._kernel.data * self._column_scale[self._column]
        in_order: Floats = np.empty_like(mass)
        in_order[self._order] = mass
        return in_order[: self._n_edges]

    def _update(self, row_relaxation: float, column_relaxation: float) -> None:
        self._row_scale *= _relaxed(self._row_mass / self._row_sums(), row_relaxation)
        column_sums = self._column_scale * (self._transposed @ self._row_scale)
        self._column_scale *= _relaxed(self._column_mass / column_sums, column_relaxation)

    def _row_sums(self) -> Floats:
        row_sums: Floats = self._row_scale * (self._kernel @ self._column_scale)
        return row_sums

    def _entries(self) -> Floats:
        reduced = self._row_cost[self._row] + self._column_cost[self._column] - self._costs
        entries: Floats = np.exp(reduced / self._regularisation)
        return entries


def _coarse_to_fine(costs: Floats, regularisation: float) -> list[float]:
    """Return the larger regularisations to pass through, for a good start at the wanted one."""
    n_steps = math.ceil(math.log(max(float(np.ptp(costs)) / 4 / regularisation, 1.0), 4))
    return [regularisation * 4**step for step in range(n_steps - 1, 0, -1)]


def _relaxed(ratio: Floats, relaxation: float) -> Floats:
    """Return the step of a scale; far from the goal the over-relaxation is bounded."""
    step: Floats = ratio * np.clip(ratio, 0.5, 2.0) ** (relaxation - 1.0)
    return step


def _with_slack(own: Floats, other: Floats, mass: float) -> Floats:
    """Return a side's capacities with, last, what the other side does not exchange."""
    total = float(other.sum())
    return np.append(own, max(total - mass, _LEAST_SLACK * total)).astype(np.float64)


def _next_relaxation(relaxation: float, errors: list[float]) -> float:
    """Return a better over-relaxation, from how fast the error fell since the last look.

    Young's relation (rate + w - 1)^2 = rate * w^2 * plain rate gives the plain rate from
    the one seen, and 2 / (1 + sqrt(1 - plain rate)) is the best w for it.
    """
    rate = (errors[-1] / errors[-2]) ** (1.0 / _CHECK_EVERY)
    if rate >= 1:
        return 1.0 if errors[-1] > 4 * min(errors) else relaxation
    if rate <= relaxation - 1:
        return relaxation
    plain_rate = min((rate + relaxation - 1) ** 2 / (rate * relaxation**2), 1 - 1e-6)
    best = 2 / (1 + float(np.sqrt(1 - plain_rate)))
    return float(np.clip(best, relaxation, _MAX_RELAXATION))
