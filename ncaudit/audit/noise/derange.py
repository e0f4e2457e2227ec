"""Exchanges without fixed points."""

from collections.abc import Callable

import numpy as np

from ncaudit.types import Bools, Ints

_ROUNDS = 50


def derange(
    items: Ints, rng: np.random.Generator, conflict: Callable[[Ints, Ints], Bools]
) -> Ints:
    """Return a random permutation of `items` in which no place gets what it must not.

    Args:
        items: Distinct items, shape (n,).
        rng: Decides the permutation.
        conflict: Tells for places and what they would get whether that must not be; true
            where a place would keep its own.

    Returns:
        What each place gets, shape (n,). A place for which nothing was found keeps its own.
    """
    got = np.empty_like(items)
    order = rng.permutation(len(items))
    got[order] = items[np.roll(order, 1)]
    for _ in range(_ROUNDS):
        bad = np.flatnonzero(conflict(items, got))
        if not len(bad):
            return got
        for both in np.stack([bad, rng.integers(len(items), size=len(bad))], axis=1):
            _swap_if_better(items, got, both, conflict)
    return _give_back(items, got, conflict)


def _swap_if_better(
    items: Ints, got: Ints, both: Ints, conflict: Callable[[Ints, Ints], Bools]
) -> None:
    if not conflict(items[both], got[both[::-1]]).any():
        got[both] = got[both[::-1]]


def _give_back(items: Ints, got: Ints, conflict: Callable[[Ints, Ints], Bools]) -> Ints:
    """Let places that cannot be served keep their own, one at a time."""
    while True:
        bad = np.flatnonzero(conflict(items, got) & (items != got))
        if not len(bad):
            return got
        at = bad[0]
        holder = int(np.flatnonzero(got == items[at])[0])
        got[holder], got[at] = got[at], items[at]
