"""Sparse partial transport: against the dense form, against exact matching, and its promises."""

import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import linear_sum_assignment

from ncaudit.rematch.transport import (
    CandidateGraph,
    InfeasibleMassError,
    TransportNotConvergedError,
    largest_mass,
    partial_transport,
    uniform_graph,
)
from tests.golden.make_golden import stored
from tests.golden.oracle_transport import EDGES, SIMILARITY, slack_plan

GOLDEN = stored()
TIGHT = {"tolerance": 1e-12, "max_iterations": 20_000}


def toy_graph() -> CandidateGraph:
    rows, columns, costs = (np.array(side) for side in zip(*EDGES, strict=True))
    return uniform_graph(rows, columns, costs, n_rows=3, n_columns=3)


def full_graph(costs: np.ndarray) -> CandidateGraph:
    rows, columns = (side.ravel() for side in np.indices(costs.shape))
    n_rows, n_columns = costs.shape
    return uniform_graph(rows, columns, costs.ravel(), n_rows=n_rows, n_columns=n_columns)


def random_graph(seed: int, n_rows: int, n_columns: int, share: float) -> CandidateGraph:
    rng = np.random.default_rng(seed)
    keep = rng.random((n_rows, n_columns)) < share
    keep[np.arange(min(n_rows, n_columns)), np.arange(min(n_rows, n_columns))] = True
    rows, columns = np.nonzero(keep)
    costs = rng.random(rows.size)
    return CandidateGraph(
        rows, columns, costs, rng.uniform(0.5, 1.5, n_rows), rng.uniform(0.5, 1.5, n_columns)
    )


@pytest.mark.parametrize(
    ("mass", "regularisation", "name"),
    [
        (2 / 3, 0.05, "s=0.6667 reg=0.05"),
        (0.5, 0.05, "s=0.5000 reg=0.05"),
        (2 / 3, 0.02, "s=0.6667 reg=0.02"),
    ],
)
def test_golden_plan(mass: float, regularisation: float, name: str) -> None:
    plan = partial_transport(toy_graph(), mass=mass, regularisation=regularisation, **TIGHT)
    np.testing.assert_allclose(plan.edge_mass, GOLDEN[f"G8.sparse POT plan {name}"], atol=1e-8)
    assert plan.edge_mass.sum() == pytest.approx(mass, abs=1e-10)


@pytest.mark.parametrize("mass", [0.1, 2 / 3])
def test_published_dense_form_has_the_same_plan(mass: float) -> None:
    """With xi = 100 max C the published slack costs change the plan by a millionth at most."""
    keep = ~np.eye(3, dtype=bool)
    rows, columns = np.nonzero(keep)
    graph = uniform_graph(rows, columns, 1 - SIMILARITY[keep], n_rows=3, n_columns=3)
    plan = partial_transport(graph, mass=mass, regularisation=0.07, **TIGHT)
    published = np.array(GOLDEN[f"G5.partialOT masked s={mass:.4f} reg=0.07 (converged)"])
    np.testing.assert_allclose(plan.edge_mass, published[keep], atol=2e-6)


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(2, 9), st.floats(0.05, 0.6))
@settings(max_examples=40, deadline=None)
def test_marginals_and_mass_are_met(seed: int, n_rows: int, n_columns: int, share: float) -> None:
    graph = random_graph(seed, n_rows, n_columns, 0.4)
    mass = share * largest_mass(graph)
    # Where the mass is nearly what the slack leaves, some need more than the usual iterations.
    plan = partial_transport(graph, mass=mass, regularisation=0.05, max_iterations=20_000)
    total = graph.row_capacity.sum() + graph.column_capacity.sum()
    assert abs(plan.edge_mass.sum() - mass) < 1e-6 * total
    assert (plan.edge_mass >= 0).all()
    sides = ((graph.rows, graph.row_capacity), (graph.columns, graph.column_capacity))
    for nodes, capacity in sides:
        moved = np.bincount(nodes, plan.edge_mass, minlength=capacity.size)
        assert (moved <= capacity + 1e-6 * total).all()


@given(st.integers(0, 10_000), st.floats(0.1, 0.7))
@settings(max_examples=15, deadline=None)
def test_sparse_plan_is_the_dense_one(seed: int, share: float) -> None:
    graph = random_graph(seed, 5, 6, 0.5)
    costs = np.full((5, 6), np.inf)
    costs[graph.rows, graph.columns] = graph.costs
    mass = share * largest_mass(graph)
    plan = partial_transport(graph, mass=mass, regularisation=0.1, **TIGHT)
    dense = slack_plan(costs, graph.row_capacity, graph.column_capacity, mass, 0.1, 3000)
    np.testing.assert_allclose(plan.edge_mass, dense[graph.rows, graph.columns], atol=1e-7)


def test_order_of_the_edges_does_not_matter() -> None:
    graph = toy_graph()
    order = np.array([3, 1, 5, 0, 4, 2])
    shuffled = CandidateGraph(
        graph.rows[order],
        graph.columns[order],
        graph.costs[order],
        graph.row_capacity,
        graph.column_capacity,
    )
    plain = partial_transport(graph, mass=0.5).edge_mass
    np.testing.assert_array_equal(partial_transport(shuffled, mass=0.5).edge_mass, plain[order])


@pytest.mark.parametrize("seed", range(5))
def test_little_entropy_and_all_mass_gives_the_best_assignment(seed: int) -> None:
    costs = np.random.default_rng(seed).random((6, 6))
    plan = partial_transport(
        full_graph(costs), mass=1.0, regularisation=0.005, tolerance=1e-6, max_iterations=50_000
    )
    matched = plan.edge_mass.reshape(6, 6).argmax(axis=1)
    np.testing.assert_array_equal(matched, linear_sum_assignment(costs)[1])


def test_exact_partial_plan_is_approached() -> None:
    """At s = 2/3 image 2 and caption 0 stay alone: 0 to 1 and 1 to 2 take a third each."""
    keep = ~np.eye(3, dtype=bool)
    rows, columns = np.nonzero(keep)
    graph = uniform_graph(rows, columns, 1 - SIMILARITY[keep], n_rows=3, n_columns=3)
    plan = partial_transport(graph, mass=2 / 3, regularisation=0.01, max_iterations=20_000)
    expected = np.array(GOLDEN["G5.exact partial OT (POT) s=2/3"])[keep]
    np.testing.assert_allclose(plan.edge_mass, expected, atol=1e-5)


def test_repeated_caption_can_be_given_away_twice() -> None:
    graph = CandidateGraph(
        np.array([0, 1]), np.array([0, 0]), np.zeros(2), np.full(2, 0.5), np.array([1.0])
    )
    plan = partial_transport(graph, mass=0.9)
    np.testing.assert_allclose(plan.edge_mass, [0.45, 0.45], atol=1e-6)


def test_mass_that_the_edges_cannot_carry_is_infeasible() -> None:
    alone = uniform_graph(np.array([0]), np.array([0]), np.zeros(1), n_rows=2, n_columns=2)
    with pytest.raises(InfeasibleMassError, match=r"hold 0\.5"):
        partial_transport(alone, mass=0.6)
    # Two images want the only caption that a third shares: nodes suffice, edges do not.
    rows, columns = np.array([0, 1, 2, 2, 2]), np.array([0, 0, 0, 1, 2])
    star = uniform_graph(rows, columns, np.zeros(5), n_rows=3, n_columns=3)
    assert largest_mass(star) == pytest.approx(2 / 3)
    with pytest.raises(InfeasibleMassError, match=r"at most 0\.666667"):
        partial_transport(star, mass=0.9, max_iterations=500)
    assert partial_transport(star, mass=0.6).edge_mass.sum() == pytest.approx(0.6, abs=1e-6)


def test_too_few_iterations_are_told_from_too_much_mass() -> None:
    with pytest.raises(TransportNotConvergedError):
        partial_transport(toy_graph(), mass=0.9, regularisation=0.02, max_iterations=3)


def test_largest_mass_of_uneven_capacities() -> None:
    graph = CandidateGraph(
        np.array([0, 1]), np.array([0, 0]), np.zeros(2), np.array([0.3, 0.41]), np.array([0.5])
    )
    assert largest_mass(graph) == pytest.approx(0.5, abs=1e-8)
    nobody = np.zeros(0, np.int64)
    assert largest_mass(uniform_graph(nobody, nobody, np.zeros(0), n_rows=2, n_columns=2)) == 0


@pytest.mark.parametrize(
    ("rows", "columns", "costs", "message"),
    [
        ([0, 0], [1, 1], [0.1, 0.2], "twice"),
        ([0, 2], [1, 1], [0.1, 0.2], "outside"),
        ([0, 1], [1, -1], [0.1, 0.2], "outside"),
        ([0, 1], [1, 1], [0.1, np.nan], "finite"),
        ([0, 1], [1], [0.1, 0.2], "length"),
    ],
)
def test_bad_edges_are_refused(
    rows: list[int], columns: list[int], costs: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        uniform_graph(np.array(rows), np.array(columns), np.array(costs), n_rows=2, n_columns=2)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="capacities"):
        CandidateGraph(np.array([0]), np.array([0]), np.zeros(1), np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="positive"):
        partial_transport(toy_graph(), mass=0.0)
    with pytest.raises(ValueError, match="positive"):
        partial_transport(toy_graph(), mass=0.5, regularisation=-1.0)


def test_many_edges_take_time_in_proportion() -> None:
    """100,000 images with 64 edges take about 3 s of one core; here is a twentieth."""
    n, k = 5_000, 32
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n), 2 * k)
    columns = (rows + rng.integers(-300, 300, rows.size)) % n
    columns[:: 2 * k] = np.arange(n)
    rows, columns = np.unique(np.stack([rows, columns]), axis=1)
    costs = np.where(rows == columns, rng.beta(4, 8, rows.size), rng.beta(5, 5, rows.size))
    start = time.process_time()
    graph = uniform_graph(rows, columns, costs, n_rows=n, n_columns=n)
    plan = partial_transport(graph, mass=0.9)
    assert time.process_time() - start < 5
    assert plan.edge_mass.sum() == pytest.approx(0.9, abs=1e-6)
