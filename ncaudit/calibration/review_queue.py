"""Which pairs people look at, how much each answer counts, and what the answers say of all pairs.

A third of the queue is drawn uniformly, so that no kind of pair is never seen; two thirds
come in equal numbers from the tenths of the probability scale, so that the few uncertain
pairs are seen too. Inverse inclusion probabilities make up for that.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Floats, Ints

N_STRATA = 10
UNIFORM_SHARE = 1 / 3
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class QueuedPair:
    """One pair to be looked at.

    Attributes:
        part: Position of its part.
        row: Row in that part.
        stratum: Tenth of the probability scale, 0 to N_STRATA - 1.
        weight: Inverse of the probability that it is in the queue, at least 1.
    """

    part: int
    row: int
    stratum: int
    weight: float


@dataclass(frozen=True, slots=True)
class WeightedShare:
    """A share of all pairs, estimated from some.

    Attributes:
        estimate: In [0, 1].
        low: Low end of its 95 % interval.
        high: High end.
        n: Pairs it was estimated from.
    """

    estimate: float
    low: float
    high: float
    n: int


class QueueDraw:
    """Draws a queue from parts given one after the other; memory holds no more than the queue.

    Every pair has numbers of its own, so that a longer queue holds the shorter one.

    Args:
        n_pairs: Pairs to draw; a pair drawn both ways counts once, so there may be fewer.
        seed: Root of the draws.

    Source:
        Permanent random numbers: Ohlsson, "Coordination of samples using permanent random
        numbers", in Business Survey Methods, Wiley 1995.
    """

    def __init__(self, n_pairs: int, seed: int) -> None:
        self._n_uniform = round(n_pairs * UNIFORM_SHARE)
        self._n_stratified = n_pairs - self._n_uniform
        self._seed = seed
        self._counts = np.zeros(N_STRATA, np.int64)
        # part, row, stratum, number for the uniform draw, for the stratified one, for the order
        self._pool = np.zeros((0, 6))

    def add(self, part: int, rows: Ints, p_mismatch: Floats) -> None:
        """Consider rows of one part.

        Args:
            part: Position of the part; with the seed it decides their numbers.
            rows: Rows in the part, shape (n,).
            p_mismatch: In [0, 1], shape (n,).
        """
        rng = np.random.default_rng([self._seed, 31, part])
        stratum = strata_of(p_mismatch)
        self._counts += np.bincount(stratum, minlength=N_STRATA)
        place = np.stack([np.full(len(rows), part), rows, stratum], axis=1)
        self._pool = np.concatenate([self._pool, np.hstack([place, rng.random((len(rows), 3))])])
        chosen = self._uniform(self._n_uniform)
        for at in range(N_STRATA):
            chosen |= self._stratified(at, self._n_stratified)
        self._pool = self._pool[chosen]

    def queue(self) -> list[QueuedPair]:
        """Return the queue in random order."""
        n_total = int(self._counts.sum())
        n_uniform = min(self._n_uniform, n_total)
        n_each = _allocate(self._n_stratified, self._counts)
        chosen = self._uniform(n_uniform)
        for at in range(N_STRATA):
            chosen |= self._stratified(at, n_each[at])
        pool = self._pool[chosen]
        pool = pool[np.argsort(pool[:, 5], kind="stable")]
        missed = 1 - n_uniform / max(n_total, 1)
        # At least 1 / n: strata without pairs have no chance, and nobody asks for their weight.
        chance = 1 - missed * (1 - n_each / np.maximum(self._counts, 1))
        weight = 1 / np.maximum(chance, 1 / max(n_total, 1))
        return [
            QueuedPair(int(part), int(row), int(stratum), float(weight[int(stratum)]))
            for part, row, stratum in pool[:, :3]
        ]

    def _uniform(self, n: int) -> Bools:
        return _smallest(self._pool[:, 3], n)

    def _stratified(self, stratum: int, n: int) -> Bools:
        inside = self._pool[:, 2] == stratum
        chosen: Bools = inside & _smallest(np.where(inside, self._pool[:, 4], np.inf), n)
        return chosen


def strata_of(p_mismatch: Floats) -> Ints:
    """Return the tenth of the probability scale each p is in, shape (n,)."""
    tenths: Ints = np.minimum((p_mismatch * N_STRATA).astype(np.int64), N_STRATA - 1)
    return tenths


def stratum_name(stratum: int) -> str:
    """Return a stratum as verdicts.csv names it: `0.3-0.4`."""
    return f"{stratum / N_STRATA:.1f}-{(stratum + 1) / N_STRATA:.1f}"


def weighted_share(is_true: Bools, weight: Floats) -> WeightedShare | None:
    """Estimate a share of all pairs from weighted ones, with a 95 % interval.

    The estimate is the weighted mean (Hajek); the interval is Clopper-Pearson's for the
    number of equally weighted pairs that would tell as much.

    Args:
        is_true: What is counted, shape (n,).
        weight: Inverse inclusion probabilities, shape (n,).

    Returns:
        None without pairs.

    Source:
        Korn and Graubard, "Confidence intervals for proportions with small expected number
        of positive counts estimated from survey data", Survey Methodology 24, 1998.

    Differs from the source:
        The effective number is never above the number of pairs, and Kish's where all
        pairs agree.
    """
    from scipy.stats import beta

    n = len(is_true)
    if n == 0:
        return None
    total = float(weight.sum())
    share = float(np.clip((weight * is_true).sum() / total, 0, 1))
    kish = total**2 / float((weight**2).sum())
    variance = float((weight**2 * (is_true - share) ** 2).sum()) / total**2 * n / max(n - 1, 1)
    n_effective = min(n, share * (1 - share) / variance) if variance > 0 else kish
    hits, misses, tail = share * n_effective, (1 - share) * n_effective, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, hits, misses + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, misses)) if misses > 0 else 1.0
    return WeightedShare(share, min(low, share), max(high, share), n)


def _smallest(values: Floats, n: int) -> Bools:
    chosen = np.zeros(len(values), bool)
    chosen[np.argsort(values, kind="stable")[: max(n, 0)]] = True
    return chosen & np.isfinite(values)


def _allocate(n: int, counts: Ints) -> Ints:
    """Share `n` equally among strata; what a small one cannot take goes to the others."""
    given = np.zeros(len(counts), np.int64)
    while n > 0 and (given < counts).any():
        # The one with the fewest so far; with equal numbers the most suspicious pairs first.
        open_ones = np.flatnonzero(given < counts)
        at = open_ones[np.lexsort((-open_ones, given[open_ones]))[0]]
        given[at] += 1
        n -= 1
    return given
