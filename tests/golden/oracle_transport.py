"""Dense partial transport as published and as ours, and exact transport by linear programming."""

import math
from typing import Any

import numpy as np
from scipy.optimize import linprog

from tests.golden.oracle_losses import TEMPERATURE, Array, softmax_row

SIMILARITY = np.array([[0.20, 0.75, 0.10], [0.30, 0.15, 0.65], [0.25, 0.35, 0.20]])
EDGES = ((0, 1, 0.25), (0, 2, 0.9), (1, 2, 0.35), (1, 0, 0.7), (2, 1, 0.65), (2, 0, 0.75))


def log_sum(logits: Array, axis: int) -> Array:
    largest = logits.max(axis=axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.exp(logits - largest).sum(axis=axis))


def sinkhorn(logits: Array, p: Array, q: Array, n_iterations: int) -> Array:
    """Return the plan after plain log-domain iterations, columns met last."""
    f, g = np.zeros(len(p)), np.zeros(len(q))
    for _ in range(n_iterations):
        f = np.log(p) - log_sum(logits + g[None, :], 1)
        g = np.log(q) - log_sum(logits + f[:, None], 0)
    return np.exp(logits + f[:, None] + g[None, :])


def published_plan(mass: float, regularisation: float, n_iterations: int) -> Array:
    """Slack costs 100 max C, slack to slack 2 xi + max C, the diagonal at a logit of -1e6."""
    cost = np.maximum(1 - SIMILARITY, 0)
    n, slack = len(cost), 100 * cost.max()
    full = np.full((n + 1, n + 1), slack)
    full[:n, :n] = cost
    full[n, n] = 2 * slack + cost.max()
    logits = -full / regularisation
    logits[np.arange(n), np.arange(n)] = -1e6
    capacity = np.append(np.full(n, 1 / n), 1 - mass)
    return sinkhorn(logits, capacity, capacity, n_iterations)[:n, :n]


def slack_plan(
    cost: Array, p: Array, q: Array, mass: float, regularisation: float, n_iterations: int
) -> Array:
    """Free slack edges, none between the slacks; infinite cost for pairs without an edge."""
    full = np.zeros((cost.shape[0] + 1, cost.shape[1] + 1))
    full[:-1, :-1] = cost
    full[-1, -1] = np.inf
    rows, columns = np.append(p, q.sum() - mass), np.append(q, p.sum() - mass)
    return sinkhorn(-full / regularisation, rows, columns, n_iterations)[:-1, :-1]


def edge_plan(mass: float, regularisation: float, n_iterations: int) -> list[float]:
    cost = np.full((3, 3), np.inf)
    for row, column, value in EDGES:
        cost[row, column] = value
    third = np.full(3, 1 / 3)
    plan = slack_plan(cost, third, third, mass, regularisation, n_iterations)
    return [float(plan[row, column]) for row, column, _ in EDGES]


def exact_plan(cost: Array, mass: float) -> Array:
    """Return the cheapest partial plan of uniform capacities, by linear programming."""
    n = len(cost)
    rows = np.kron(np.eye(n), np.ones(n))
    columns = np.kron(np.ones(n), np.eye(n))
    solution = linprog(
        cost.ravel(),
        A_ub=np.vstack([rows, columns]),
        b_ub=np.full(2 * n, 1 / n),
        A_eq=np.ones((1, n * n)),
        b_eq=[mass],
    )
    return solution.x.reshape(n, n)


def reverse_cross_entropy() -> float:
    s = np.array([[0.60, 0.20], [0.30, 0.50]])
    total = 0.0
    for matrix in (s, s.T):
        for i, row in enumerate(matrix):
            p = softmax_row(row, TEMPERATURE)
            total -= math.log(p[i])
            total -= math.fsum(p[j] * math.log((i == j) + 1e-7) for j in range(2))
    return total / 2 / 2


def first_overflow(dtype: type[np.floating[Any]]) -> float:
    """Return the smallest number of a type whose exponential rounds to infinity."""
    largest = np.finfo(dtype).max
    step = float(largest) - float(np.nextafter(largest, dtype(0)))
    bound = math.log(float(largest) + step / 2)
    number = dtype(bound)
    return float(number if number >= bound else np.nextafter(number, dtype(np.inf)))


def transport() -> dict[str, Any]:
    tenth, two_thirds = published_plan(0.1, 0.07, 5000), published_plan(2 / 3, 0.07, 5000)
    masked = np.maximum(1 - SIMILARITY, 0)
    np.fill_diagonal(masked, 10.0)
    return {
        "G5.RCE warm-up loss 2x2": reverse_cross_entropy(),
        "G5.cost relu(1-S)": np.maximum(1 - SIMILARITY, 0).tolist(),
        "G5.partialOT masked s=0.1000 reg=0.07 (converged)": tenth.tolist(),
        "G5.partialOT masked s=0.6667 reg=0.07 (converged)": two_thirds.tolist(),
        "G5.exact partial OT (POT) s=2/3": exact_plan(masked, 2 / 3).tolist(),
        "G8.edges": [list(map(float, edge)) for edge in EDGES],
        "G8.sparse POT plan s=0.6667 reg=0.05": edge_plan(2 / 3, 0.05, 500),
        "G8.sparse POT plan s=0.5000 reg=0.05": edge_plan(0.5, 0.05, 500),
        "G8.sparse POT plan s=0.6667 reg=0.02": edge_plan(2 / 3, 0.02, 20_000),
        "G8.  mass, its": [math.fsum(edge_plan(2 / 3, 0.02, 20_000)), 20000.0],
        "G9.tan(1)": math.tan(1),
        "G9.128*tan(1/128)": 128 * math.tan(1 / 128),
        "G9.-log(1e-7)": -math.log(1e-7),
        "G9.RCE off-diag const -log(1e-7), diag log(1+1e-7)": [-math.log(1e-7), math.log1p(1e-7)],
        "G9.fp32 exp overflow at x": first_overflow(np.float32),
        "G9.fp16 exp overflow at x": first_overflow(np.float16),
    }
