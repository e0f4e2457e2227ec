"""Slow float64 versions of SREM, CRCL and MSCN, written from their equations, entry by entry."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
TEMPERATURE = 0.05


def softmax_row(row: Array, temperature: float) -> list[float]:
    largest = max(row)
    terms = [math.exp((value - largest) / temperature) for value in row]
    total = math.fsum(terms)
    return [term / total for term in terms]


def row_log_sum(row: Array, temperature: float) -> float:
    largest = max(row)
    return largest / temperature + math.log(
        math.fsum(math.exp((value - largest) / temperature) for value in row)
    )


def srem() -> dict[str, Any]:
    s = np.array([[0.80, 0.20, 0.10], [0.30, 0.25, 0.40], [0.05, 0.15, 0.70]])
    tau, n = TEMPERATURE, 3
    p = [softmax_row(row, tau) for row in s]
    q = [softmax_row(row, tau) for row in s.T]
    e_i2t = [-tau * row_log_sum(row, tau) for row in s]
    e_t2i = [-tau * row_log_sum(row, tau) for row in s.T]
    u = [(a + b) / 2 for a, b in zip(e_i2t, e_t2i, strict=True)]
    ent_p, ent_q = [entropy(row) for row in p], [entropy(row) for row in q]
    sce_a = [cross_entropy(p[i], q[i]) for i in range(n)]
    sce_b = [cross_entropy(q[i], p[i]) for i in range(n)]
    log_p = [s[i, i] / tau - row_log_sum(s[i], tau) for i in range(n)]
    log_q = [s[i, i] / tau - row_log_sum(s[:, i], tau) for i in range(n)]
    clean = [max(0.0, u[i] + 0.75) ** 2 for i in (0, 2)]
    noisy = [max(0.0, -0.2 - u[i]) ** 2 for i in (1,)]
    return {
        "G1.P_i2t": p,
        "G1.P_t2i": q,
        "G1.E_i2t": e_i2t,
        "G1.E_t2i": e_t2i,
        "G1.U": u,
        "G1.E_i2t_unscaled(-lse)": [energy / tau for energy in e_i2t],
        "G1.e_i2t(norm entropy)": ent_p,
        "G1.e_t2i(norm entropy)": ent_q,
        "G1.SCE_a=-sum_j P_ij log Q_ij": sce_a,
        "G1.SCE_b=-sum_j Q_ij log P_ij": sce_b,
        "G1.SCE_sym": [(a + b) / 2 for a, b in zip(sce_a, sce_b, strict=True)],
        "G1.w_t2i=1-e_i2t": [1 - value for value in ent_p],
        "G1.w_i2t=1-e_t2i": [1 - value for value in ent_q],
        "G1.CBCL_uniform(per pair)": [cbcl(s, p, q, i, biased=False) for i in range(n)],
        "G1.CBCL_biased(sim-weighted)": [cbcl(s, p, q, i, biased=True) for i in range(n)],
        "G1.energy bounds B=3": [-1 - tau * math.log(n), 1 - tau * math.log(n)],
        "G1.L_margin(m_c=-0.75,m_n=-0.2,clean=[1,0,1])": sum(clean) / 2 + sum(noisy),
        "G1.logp_i2t diag": log_p,
        "G1.logp_t2i diag": log_q,
        "G1.negCLIPLoss tau=.05 (S_ii - t/2(lse_i+lse_t))": [
            s[i, i] - tau / 2 * (row_log_sum(s[i], tau) + row_log_sum(s[:, i], tau))
            for i in range(n)
        ],
        "G1.margin energy S_ii+U": [s[i, i] + u[i] for i in range(n)],
    }


def entropy(row: list[float]) -> float:
    return -math.fsum(p * math.log(p) for p in row) / math.log(len(row))


def cross_entropy(row: list[float], other: list[float]) -> float:
    return -math.fsum(p * math.log(q) for p, q in zip(row, other, strict=True))


def cbcl(s: Array, p: list[list[float]], q: list[list[float]], i: int, *, biased: bool) -> float:
    others = [j for j in range(len(s)) if j != i]
    total = 0.0
    for matrix, probabilities in ((s, p), (s.T, q)):
        weights = [math.exp(matrix[i, j] / TEMPERATURE) if biased else 1.0 for j in others]
        for weight, j in zip(weights, others, strict=True):
            total -= weight / math.fsum(weights) * math.log1p(-probabilities[i][j])
    return total / 2


def acl_terms(s: Array, y: Array) -> tuple[list[float], list[float], list[float]]:
    """Return L_d, L_r with q = 1 - y, and y L_d + 5 L_r of every pair."""
    active, robust, both = [], [], []
    for i in range(len(s)):
        directions = (softmax_row(s[i], TEMPERATURE), softmax_row(s[:, i], TEMPERATURE))
        active.append(-math.fsum(math.log(row[i]) for row in directions))
        robust.append(0.0)
        for row in directions:
            tans = [math.tan(value) for value in row]
            others = math.fsum(tan for j, tan in enumerate(tans) if j != i)
            robust[i] += others / math.fsum(tans) ** (1 - y[i])
        both.append(y[i] * active[i] + 5 * robust[i])
    return active, robust, both


def acl_mean(s: Array, y: Array) -> float:
    return float(np.mean(acl_terms(s, y)[2]))


def central_differences(function: Callable[[Array], float], at: Array, step: float) -> Array:
    """Return the gradient by the fourth-order central difference."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        values = []
        for multiple in (-2, -1, 1, 2):
            moved = at.copy()
            moved[index] += multiple * step
            values.append(function(moved))
        gradient[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return gradient


def crcl() -> dict[str, Any]:
    golden: dict[str, Any] = {}
    cases = {
        "G2a": ([[0.60, 0.20], [0.30, 0.50]], [1.0, 0.3]),
        "G2b": ([[0.30, 0.25], [0.28, 0.26]], [0.9, 0.2]),
    }
    for name, (rows, labels) in cases.items():
        s, y = np.array(rows), np.array(labels)
        active, robust, both = acl_terms(s, y)
        golden[f"{name}.L_d"] = active
        golden[f"{name}.L_r(q=1-y)"] = robust
        golden[f"{name}.per-pair y*L_d+5*L_r"] = both
        golden[f"{name}.ACL mean"] = acl_mean(s, y)
        golden[f"{name}.label p=(p1+p2)/2"] = [
            (softmax_row(s[i], 0.05)[i] + softmax_row(s[:, i], 0.05)[i]) / 2 for i in range(2)
        ]
        golden[f"{name}.dACL/dS"] = central_differences(
            lambda moved, y=y: acl_mean(moved, y), s, 1e-4
        ).tolist()
    s = np.array(cases["G2b"][0])
    ones, zeros = np.ones(2), np.zeros(2)
    golden["G2b.ACL all y=1 (q=0)"] = acl_mean(s, ones)
    golden["G2b.ACL all y=0 (q=1)"] = acl_mean(s, zeros)
    golden["G2b.L_r q=0,q=1 pair0"] = [acl_terms(s, ones)[1][0], acl_terms(s, zeros)[1][0]]
    return golden | scc()


def scc_step(labels: list[float], p: list[float]) -> list[float]:
    blended = [0.8 * y + 0.2 * value for y, value in zip(labels, p, strict=True)]
    return [0.0 if y < 0.1 else y for y in blended]


def scc() -> dict[str, Any]:
    trace, labels = [], [1.0, 0.6, 0.12]
    for p in ([0.95, 0.02, 0.05], [0.9, 0.01, 0.6], [0.97, 0.01, 0.9]):
        labels = scc_step(labels, p)
        trace.append(labels)
    n_updates, label = 0, 1.0
    while label > 0:
        label = scc_step([label], [0.0])[0]
        n_updates += 1
    schedule, labels = [], [1.0, 1.0, 1.0]
    for piece, n_epochs in enumerate((2, 1)):
        for epoch in range(n_epochs + 2):
            p = [value + 0.01 * epoch for value in (0.9, 0.2, 0.04)]
            use = scc_step(labels, p) if epoch >= 2 else [y if y >= 0.1 else 0.0 for y in labels]
            labels = p if (piece, epoch) == (0, 1) else use
            schedule.append([piece, epoch, use, labels])
    return {
        "G3.one step": scc_step([1.0, 0.5, 0.05], [0.9, 0.1, 0.4]),
        "G3.trace": trace,
        "G3.epochs for y=1,p=0 to be zeroed": float(n_updates),
        "G3.sched": schedule,
    }


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def soft_margin(s: float) -> float:
    return 0.2 * s**2 / (s**2 + (1 - s) ** 2)


def mscn() -> dict[str, Any]:
    s = np.array([[0.55, 0.45, 0.30], [0.40, 0.35, 0.50], [0.20, 0.48, 0.70]])
    margins = [soft_margin(value) for value in (0.8, 0.3, 0.9)]
    golden: dict[str, Any] = {
        "G4.margin s^2/(s^2+(1-s)^2)*0.2": [
            soft_margin(value) for value in (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)
        ],
        "G4.m": margins,
    }
    for name, of_anchor in (("correct", True), ("released", False)):
        i2t, t2i = [0.0] * 3, [0.0] * 3
        for i in range(3):
            for j in {0, 1, 2} - {i}:
                margin = margins[i if of_anchor else j]
                i2t[i] = max(i2t[i], margin + s[i, j] - s[i, i])
                t2i[i] = max(t2i[i], margins[i] + s[j, i] - s[i, i])
        golden[f"G4.triplet {name}: cost_s_max"] = i2t
        golden[f"G4.triplet {name}: cost_im_max"] = t2i
        golden[f"G4.triplet {name}: sum"] = sum(i2t) + sum(t2i)
    return golden | network() | bilevel()


def network() -> dict[str, Any]:
    x = (0.6, -0.8)
    hidden = [
        max(0.0, weights[0] * x[0] + weights[1] * x[1] + bias)
        for weights, bias in zip(
            ((0.5, -0.25), (0.1, 0.3), (-0.4, 0.2)), (0.0, 0.1, 0.05), strict=True
        )
    ]
    logit = 0.7 * hidden[0] - 0.6 * hidden[1] + 0.9 * hidden[2] + 0.05
    return {"G4.V([.6,-.8])": sigmoid(logit)}


def toy(theta: float, w: float = 0.4) -> list[float]:
    """Return [L_main, dL/dw, w after the step, L_meta] with the derivative by hand."""
    positive, negative = sigmoid(theta * w * 1.2 + 0.12), sigmoid(theta * w * 0.7 + 0.07)
    main = max(0.0, soft_margin(positive) + negative - positive)
    slope = theta * 0.7 * negative * (1 - negative) - theta * 1.2 * positive * (1 - positive)
    stepped = w - 0.5 * slope
    meta_positive = sigmoid(theta * stepped * 1.5 + 0.15)
    meta_negative = sigmoid(theta * stepped * -0.5 - 0.05)
    meta = -(math.log(meta_positive) + math.log(1 - meta_negative)) / 2
    return [main, slope, stepped, meta]


def bilevel() -> dict[str, Any]:
    slope = central_differences(lambda theta: toy(float(theta[0]))[3], np.array([0.9]), 1e-3)
    return {
        "G4.bilevel toy [L_main, dL/dw, w1, L_meta, dL_meta/dtheta]": [*toy(0.9), float(slope[0])],
        "G4.bilevel finite diff": float(slope[0]),
    }
