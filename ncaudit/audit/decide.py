"""Which pairs stay: the threshold, how it is chosen, and what it does to each pair.

Separate from writing shards, because this needs two columns and no image: a million pairs
are decided in well under a second. Memory does not grow with the number of pairs.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum

import numpy as np

from ncaudit.types import Bools, Floats, Ints

# `p_mismatch` of some pairs at a time; called again for each pass over all of them.
ReadScores = Callable[[], Iterable[Floats]]
_N_BINS = 1 << 16


class Outcome(IntEnum):
    """What becomes of one pair."""

    KEPT = 0
    DROPPED = 1
    REJECTED = 2
    REMATCHED = 3  # kept, with the proposed caption


class Human(IntEnum):
    """What a person said about one pair."""

    SILENT = 0
    MATCH = 1
    MISMATCH = 2
    REMATCH = 3


def decide(
    scored: Bools,
    p_mismatch: Floats,
    threshold: float,
    human: Ints,
    repairable: Bools | None = None,
) -> Ints:
    """Decide every pair of a shard.

    A pair that could not be scored is rejected. Of the others, a person's verdict stands;
    without one a pair is dropped if `p_mismatch >= threshold`. A scored pair without a
    probability stays: nothing speaks against it. A pair that would be dropped, and that
    no person called a mismatch, is rematched where it is repairable.

    Args:
        scored: Whether the pair has status `scored`, shape (n,).
        p_mismatch: Shape (n,); NaN where there is none.
        threshold: In [0, 1], or just above 1 to keep all.
        human: Values of `Human`, shape (n,).
        repairable: Whether the pair has a proposal that may be used, shape (n,); None
            for no pair.

    Returns:
        Values of `Outcome`, shape (n,).
    """
    over = (human == Human.SILENT) & (p_mismatch >= threshold)
    drop = over | (human == Human.MISMATCH) | (human == Human.REMATCH)
    outcome = np.where(drop, Outcome.DROPPED, Outcome.KEPT)
    if repairable is not None:
        repaired = repairable & drop & (human != Human.MISMATCH)
        outcome = np.where(repaired, Outcome.REMATCHED, outcome)
    return np.where(scored, outcome, Outcome.REJECTED).astype(np.int8)


def threshold_to_keep(read: ReadScores, fraction: float) -> float:
    """Return the threshold that keeps the share `fraction` of pairs of lowest p.

    Equal pairs are never told apart: those that tie with the last kept pair stay too, so
    a little more than `fraction` may be kept, never less.

    Args:
        read: Gives `p_mismatch` of the scored pairs; NaN does not count.
        fraction: In [0, 1].

    Returns:
        The lowest p that is dropped; just above the highest p if none is.
    """
    counts, _ = _histogram(read)
    total = int(counts.sum())
    n_keep = math.ceil(round(fraction * total, 6))  # rounded: 0.55 * 100 is 55.00000000000001
    if n_keep == 0:
        return 0.0
    up_to = np.cumsum(counts)
    edge = int(np.searchsorted(up_to, n_keep))
    values, n_each = _bin_values(read, edge)
    below = int(up_to[edge] - counts[edge])
    last = values[np.searchsorted(below + np.cumsum(n_each), n_keep)]
    return _next_above(read, float(last))


def threshold_for_loss(read: ReadScores, max_good_loss: float) -> float:
    """Return the threshold that drops most and loses at most a share of the good pairs.

    The good pairs are expected to number sum(1 - p); those lost are the same sum over
    the dropped pairs. Equal pairs go together or not at all.

    Args:
        read: Gives `p_mismatch` of the scored pairs; NaN does not count.
        max_good_loss: In [0, 1].

    Returns:
        The lowest p that is dropped; just above the highest p if none is.
    """
    _, good = _histogram(read)
    total = float(good.sum())
    allowed = max_good_loss * total + 1e-9 * max(total, 1.0)  # sums in another order round
    from_top = np.cumsum(good[::-1])
    over = np.flatnonzero(from_top > allowed)
    if len(over) == 0:
        return 0.0
    edge = _N_BINS - 1 - int(over[0])
    values, n_each = _bin_values(read, edge)
    above = float(from_top[over[0]] - good[edge])
    lost = above + np.cumsum((n_each * (1.0 - values))[::-1])
    n_fit = int(np.searchsorted(lost, allowed, side="right"))
    return float(values[-n_fit]) if n_fit else _next_above(read, float(values[-1]))


def _histogram(read: ReadScores) -> tuple[Ints, Floats]:
    """Return the number of pairs, and their sum of 1 - p, in equal bins of p."""
    counts, good = np.zeros(_N_BINS, np.int64), np.zeros(_N_BINS)
    for p in _finite(read):
        bins = _bins(p)
        counts += np.bincount(bins, minlength=_N_BINS)
        good += np.bincount(bins, weights=1.0 - p, minlength=_N_BINS)
    return counts, good


def _bin_values(read: ReadScores, edge: int) -> tuple[Floats, Ints]:
    """Return the different p in one bin, ascending, and how often each occurs."""
    seen: dict[float, int] = {}
    for p in _finite(read):
        values, counts = np.unique(p[_bins(p) == edge], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            seen[value] = seen.get(value, 0) + count
    order = sorted(seen)
    return np.array(order), np.array([seen[value] for value in order])


def _next_above(read: ReadScores, value: float) -> float:
    """Return the lowest p above `value`, so that the threshold is that of a real pair."""
    above = (p[p > value] for p in _finite(read))
    lowest = min((float(p.min()) for p in above if len(p)), default=None)
    return float(np.nextafter(value, 2.0)) if lowest is None else lowest


def _finite(read: ReadScores) -> Iterator[Floats]:
    for p in read():
        yield p[np.isfinite(p)].astype(np.float64)


def _bins(p: Floats) -> Ints:
    return np.clip(p * _N_BINS, 0, _N_BINS - 1).astype(np.int64)
