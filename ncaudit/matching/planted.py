"""Known mismatches, planted among the pairs so that unknown ones can be told by comparison.

A planted pair takes the place of an observed one for one run: its image and its caption
occur as often as those of any other pair, so training treats it as it treats a mismatch
that was there from the start.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.types import Ints


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
    pairs: Pairs, fold: Ints, *, n_runs: int, fraction: float, seed: int, together: float = 1.0
) -> Planted:
    """Choose for every run which pairs are replaced, and by what.

    Pairs of a fold exchange their captions (a derangement). Both rows come from one fold,
    so that the heads that never saw the image never saw the caption either. Each pair is
    replaced in one run at most; equal captions never replace each other.

    Where images have several captions, a yardstick must be neither easier nor harder than
    what it measures: wrong captions that agree with each other are memorised far better
    than a single wrong one. So a share of the planted pairs are whole images that exchange
    all their captions with an image that has as many, and the others are single captions.

    Args:
        pairs: Observed pairs.
        fold: Fold of each pair, shape (n,).
        n_runs: Number of runs.
        fraction: Share of all pairs replaced in each run, in (0, 1 / n_runs].
        seed: Decides the draw.
        together: Share of the planted pairs whose image's captions all move, in [0, 1].
    """
    n_rows = round(fraction * len(pairs))
    whole = _draw(pairs.image_id, n_runs, round(together * n_rows), seed)
    left = np.flatnonzero(whole < 0)
    single = np.full(len(pairs), -1)
    single[left] = _draw(left, n_runs, n_rows - round(together * n_rows), seed)
    parts = [Planted(*(np.zeros(0, np.int64) for _ in range(3)))]
    for run in range(n_runs):
        for each in np.unique(fold):
            at = fold == each
            parts.append(_exchange(pairs, np.flatnonzero(at & (whole == run)), run))
            parts.append(_exchange_singly(pairs, np.flatnonzero(at & (single == run)), run, seed))
    return Planted(
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.caption_row for part in parts]),
        np.concatenate([part.run for part in parts]),
    )


def _draw(unit: Ints, n_runs: int, n_rows: int, seed: int) -> Ints:
    """Draw units for each run until their rows are enough; -1 for the others, shape (n,)."""
    _, unit, counts = np.unique(unit, return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 2]).permutation(len(counts))
    until = np.cumsum(counts[order])
    run = np.where(until <= n_runs * n_rows, (until - 1) // max(n_rows, 1), -1)
    run_of = np.empty(len(counts), np.int64)
    run_of[order] = run
    drawn: Ints = run_of[unit]
    return drawn


def _exchange(pairs: Pairs, rows: Ints, run: int) -> Planted:
    """Give each image the captions of the next one that has as many."""
    if not len(rows):
        return Planted(rows, rows, rows)
    _, image, counts = np.unique(pairs.image_id[rows], return_inverse=True, return_counts=True)
    by_image = np.split(rows[np.argsort(image, kind="stable")], np.cumsum(counts)[:-1])
    to, given = [], []
    for count in np.unique(counts):
        alike = np.stack([each for each in by_image if len(each) == count])
        to.append(alike.ravel())
        given.append(np.roll(alike, -1, axis=0).ravel())
    return _where_apart(pairs, np.concatenate(to), np.concatenate(given), run)


def _exchange_singly(pairs: Pairs, rows: Ints, run: int, seed: int) -> Planted:
    """Give each pair the caption of the next one in a random order."""
    shuffled = np.random.default_rng([seed, 2, run]).permutation(rows)
    return _where_apart(pairs, shuffled, np.roll(shuffled, -1), run)


def observed_and_planted(pairs: Pairs, planted: Planted) -> Pairs:
    """Return the observed pairs followed by the planted ones."""
    return concatenate([pairs, planted.pairs(pairs)])


def _where_apart(pairs: Pairs, row: Ints, other: Ints, run: int) -> Planted:
    same = pairs.image_id[row] == pairs.image_id[other]
    same |= pairs.caption_id[row] == pairs.caption_id[other]
    return Planted(row[~same], other[~same], np.full(int((~same).sum()), run))
