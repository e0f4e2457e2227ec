"""Known mismatches, planted among the pairs so that unknown ones can be told by comparison.

A planted pair takes the place of an observed one for one run: its image and its caption
occur as often as those of any other pair, so training treats it as it treats a mismatch
that was there from the start.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.types import Bools, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """Mismatches planted over all runs; entry p of each array describes one of them.

    Attributes:
        row: Row whose caption is replaced, shape (m,).
        caption_row: Row the new caption comes from, shape (m,).
        run: Run in whose training it takes part, shape (m,).
    """

    row: Ints
    caption_row: Ints
    run: Ints

    def __len__(self) -> int:
        """Return the number of planted pairs."""
        return len(self.row)

    def pairs(self, observed: Pairs) -> Pairs:
        """Return the planted pairs themselves."""
        return observed.recombine(self.row, self.caption_row)

    def caption_row_in(self, run: int, n_pairs: int) -> Ints:
        """Return for each of n pairs the row its caption comes from in one run, shape (n,)."""
        caption_row = np.arange(n_pairs)
        at = self.run == run
        caption_row[self.row[at]] = self.caption_row[at]
        return caption_row


def plant_mismatches(
    pairs: Pairs, fold: Ints, *, n_runs: int, fraction: float, seed: int
) -> Planted:
    """Choose for every run which pairs are replaced, and by what.

    Images of a fold exchange their captions (a derangement), each with one that has as
    many. Both rows come from one fold, so that the heads that never saw the image never saw
    the caption either. Each pair is replaced in one run at most; equal captions never
    replace each other.

    All captions of an image move together: wrong captions that agree with each other are
    memorised far better than a single wrong one, and a yardstick must not be easier than
    what it measures.

    Args:
        pairs: Observed pairs.
        fold: Fold of each pair, shape (n,).
        n_runs: Number of runs.
        fraction: Share of all pairs replaced in each run, in (0, 1 / n_runs].
        seed: Decides the draw.
    """
    run_of = _run_of_image(pairs, n_runs, round(fraction * len(pairs)), seed)
    parts = []
    for run in range(n_runs):
        rows = np.flatnonzero(run_of == run)
        parts += [
            _exchange(pairs, rows[fold[rows] == each], run) for each in np.unique(fold[rows])
        ]
    nothing = np.zeros(0, np.int64)
    return Planted(
        np.concatenate([nothing, *(part.row for part in parts)]),
        np.concatenate([nothing, *(part.caption_row for part in parts)]),
        np.concatenate([nothing, *(part.run for part in parts)]),
    )


def _run_of_image(pairs: Pairs, n_runs: int, n_rows: int, seed: int) -> Ints:
    """Draw images for each run until their pairs are enough; -1 for the others, shape (n,)."""
    _, image, counts = np.unique(pairs.image_id, return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 2]).permutation(len(counts))
    until = np.cumsum(counts[order])
    run = np.where(until <= n_runs * n_rows, (until - 1) // max(n_rows, 1), -1)
    run_of = np.empty(len(counts), np.int64)
    run_of[order] = run
    drawn: Ints = run_of[image]
    return drawn


def _exchange(pairs: Pairs, rows: Ints, run: int) -> Planted:
    """Give each image the captions of the next one that has as many."""
    _, image, counts = np.unique(pairs.image_id[rows], return_inverse=True, return_counts=True)
    by_image = np.split(rows[np.argsort(image, kind="stable")], np.cumsum(counts)[:-1])
    to, given = [], []
    for count in np.unique(counts):
        alike = np.stack([each for each in by_image if len(each) == count])
        to.append(alike.ravel())
        given.append(np.roll(alike, -1, axis=0).ravel())
    row, other = np.concatenate(to), np.concatenate(given)
    apart = _apart(pairs, row, other)
    return Planted(row[apart], other[apart], np.full(int(apart.sum()), run))


def observed_and_planted(pairs: Pairs, planted: Planted) -> Pairs:
    """Return the observed pairs followed by the planted ones."""
    return concatenate([pairs, planted.pairs(pairs)])


def _apart(pairs: Pairs, rows: Ints, other: Ints) -> Bools:
    same = pairs.image_id[rows] == pairs.image_id[other]
    same |= pairs.caption_id[rows] == pairs.caption_id[other]
    apart: Bools = ~same
    return apart
