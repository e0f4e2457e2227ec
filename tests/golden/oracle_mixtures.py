"""Slow float64 versions of the Beta mixture, local fdr, NCR and LEMoN, from their equations."""

import math
from typing import Any

from tests.golden.oracle_losses import sigmoid


def beta_moments(values: list[float], weights: list[float]) -> tuple[float, float]:
    total = math.fsum(weights)
    pairs = list(zip(weights, values, strict=True))
    mean = math.fsum(weight * value for weight, value in pairs) / total
    variance = math.fsum(weight * (value - mean) ** 2 for weight, value in pairs) / total
    alpha = mean * (mean * (1 - mean) / variance - 1)
    return alpha, alpha * (1 - mean) / mean


def beta_density(x: float, shape: tuple[float, float]) -> float:
    a, b = shape
    log_norm = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp((a - 1) * math.log(x) + (b - 1) * math.log(1 - x) - log_norm)


def beta_mixture() -> dict[str, Any]:
    noise = beta_moments([0.1, 0.2, 0.15, 0.3], [1.0] * 4)
    clean = beta_moments([0.9, 0.8, 0.95, 0.7], [1.0] * 4)
    z = [0.25, 0.5, 0.6, 0.85]
    posterior = [
        beta_density(x, clean) / (beta_density(x, clean) + beta_density(x, noise)) for x in z
    ]
    rest = [1 - value for value in posterior]
    return {
        "G4.beta MoM noise (a,b)": list(noise),
        "G4.beta MoM clean (a,b)": list(clean),
        "G4.posterior clean, weights .5/.5 at z=[.25,.5,.6,.85]": posterior,
        "G4.one EM step: weights": [math.fsum(rest) / 4, math.fsum(posterior) / 4],
        "G4.one EM step: noise (a,b)": list(beta_moments(z, rest)),
        "G4.one EM step: clean (a,b)": list(beta_moments(z, posterior)),
    }


def normal_density(x: float, mean: float, deviation: float) -> float:
    z = (x - mean) / deviation
    return math.exp(-z * z / 2) / (deviation * math.sqrt(2 * math.pi))


def calibration() -> dict[str, Any]:
    fdr = []
    for x in (0.10, 0.20, 0.225, 0.25, 0.35):
        f0, f1 = normal_density(x, 0.15, 0.05), normal_density(x, 0.30, 0.05)
        fdr.append(0.3 * f0 / (0.3 * f0 + 0.7 * f1))
    odds = [math.exp(-logit) for logit in (-2, -0.5, 0, 1, 3)]
    return {
        "G7.lfdr": fdr,
        "G7.lfdr from classifier g, pi=.3, n_obs=n_neg": [min(1.0, 0.3 * value) for value in odds],
        "G7.Platt/logit fusion sigmoid(-0.4+1.1*z_E-0.8*z_m-1.3*z_y), z=(1.2,-0.5,-1.0)": sigmoid(
            -0.4 + 1.1 * 1.2 - 0.8 * -0.5 - 1.3 * -1.0
        ),
    }


def ncr_and_lemon() -> dict[str, Any]:
    s = [[0.80, 0.20, 0.10], [0.30, 0.25, 0.40], [0.05, 0.15, 0.70]]
    losses, hinges = [], []
    for i in range(3):
        others = [j for j in range(3) if j != i]
        forward = math.fsum(max(0.0, 0.2 + s[i][j] - s[i][i]) for j in others) / 3
        backward = math.fsum(max(0.0, 0.2 + s[j][i] - s[i][i]) for j in others) / 3
        losses.append(forward + backward)
        hinges.append((forward + backward) / 2)
    # NCR's prediction over the best of the batch, which has no loss here.
    predictions = [(0.2 - min(0.2, value)) / 0.2 for value in hinges]
    lemon = 0.7
    for partner, distance, own in (
        ((0.5, 0.6), (-0.9, -0.8), (0.7, 0.75)),
        ((0.4, 0.3), (-0.85, -0.8), (0.7, 0.68)),
    ):
        terms = [
            math.exp(-0.1 * near) * math.exp(-5 * mismatch) * far
            for far, near, mismatch in zip(partner, distance, own, strict=True)
        ]
        lemon += 5 * math.fsum(terms) / 2
    return {
        "G6.NCR eval_loss (mean over B incl. zero diag)": losses,
        "G6.NCR predict (unclamped)": predictions,
        "G6.LEMoN toy": lemon,
    }
