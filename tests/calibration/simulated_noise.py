"""Signals of pairs whose mismatches are, or are not, like the planted ones."""

import numpy as np

from ncaudit.calibration.labelled import Verdicts
from ncaudit.calibration.two_groups import Evidence
from ncaudit.types import Bools, Floats

NAMES = ("one", "two", "three")


def simulated(
    share: float, *, topic: bool, n: int = 4000, n_planted: int = 1500, seed: int = 0
) -> tuple[Evidence, Bools]:
    """Draw three signals that see one hidden discrepancy, each with noise of its own.

    The distributions are those of the held-out loss on real photographs: planted pairs
    lie around 0, matched ones at -2.6 with a tail upward. Mismatched ones are like the
    planted, or, with `topic`, somewhat worse than matched ones and never far out.
    """
    rng = np.random.default_rng([seed, 21])
    wrong = rng.permutation(n) < round(share * n)
    hidden = -2.6 + rng.exponential(0.45, n)
    n_wrong = int(wrong.sum())
    hidden[wrong] = (
        -2.6 + 3.2 * rng.beta(1.4, 3.0, n_wrong) if topic else rng.normal(0, 0.9, n_wrong)
    )
    null = rng.normal(0.0, 0.9, n_planted)
    observed, planted = (
        each[:, None] + rng.normal(0.0, 0.15, (len(each), 3)) for each in (hidden, null)
    )
    return Evidence(NAMES, observed, np.arange(n), planted), wrong


def queue(p: Floats, wrong: Bools, *, n_labels: int = 300, seed: int = 0) -> Verdicts:
    """Judge a third drawn uniformly and two thirds by tenths of the ranks of p."""
    rng = np.random.default_rng([seed, 22])
    n = len(p)
    tenth = np.argsort(np.argsort(p)) * 10 // n
    by_tenth = [
        rng.choice(np.flatnonzero(tenth == each), n_labels // 15, replace=False)
        for each in range(10)
    ]
    rows = np.unique(np.concatenate([rng.choice(n, n_labels // 3, replace=False), *by_tenth]))
    size = np.bincount(tenth)[tenth[rows]]
    chance = 1 - (1 - n_labels / 3 / n) * (1 - n_labels / 15 / size)
    return Verdicts(rows=rows, is_mismatch=wrong[rows], weight=1 / chance)
