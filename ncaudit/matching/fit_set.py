"""What a model is fitted on: observed pairs in folds, and mismatches planted for the runs."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ncaudit.matching.bank import (
    BankDraw,
    BankScores,
    ReferenceBank,
    loss_against_bank,
    score_against_bank,
)
from ncaudit.matching.heads import Heads
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.planted import Planted, observed_and_planted
from ncaudit.types import Floats, Ints

_OBSERVED = -1


@dataclass(frozen=True, slots=True, eq=False)
class FitSet:
    """Observed pairs with their folds, and the mismatches planted for each run.

    Attributes:
        pairs: Observed pairs, n of them.
        fold: Fold of each, shape (n,).
        half: Half of its fold, 0 or 1, shape (n,).
        planted: m mismatches; both of their rows lie in one half of a fold.
        drawn: Which observed pairs are in the reference banks.
        n_runs: Number of runs that mismatches are planted for.
        together: Share of the mismatches that seem to be whole images, and of the planted
            ones that are; None where every image has one caption.
        everything: The observed pairs, then the planted ones.
    """

    pairs: Pairs
    fold: Ints
    half: Ints
    planted: Planted
    drawn: BankDraw
    n_runs: int
    together: float | None = None
    everything: Pairs = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "everything", observed_and_planted(self.pairs, self.planted))

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    @property
    def bank(self) -> ReferenceBank:
        """The reference banks of observed pairs."""
        return self.drawn.of(self.pairs)

    def caption_row_in(self, run: int) -> Ints:
        """Return the row each pair's caption comes from in a run, shape (n,)."""
        return self.planted.caption_row_in(run, len(self.pairs))

    def pairs_of_run(self, run: int) -> Pairs:
        """Return the n pairs a run is trained on: planted ones in the place of observed."""
        return self.pairs.recombine(np.arange(len(self.pairs)), self.caption_row_in(run))

    def bank_of_run(self, run: int) -> ReferenceBank:
        """Return the banks as a run knows them.

        A planted pair meets the true partners of its halves where they stand in that run,
        just as a mismatch that was there from the start meets its own.
        """
        return self.drawn.of(self.pairs, self.caption_row_in(run))

    def held_out(self, heads: tuple[Heads, ...], *, temperature: float) -> BankScores:
        """Return the scores of observed, then planted pairs by heads that did not see them.

        Args:
            heads: One per fold; `heads[k]` never saw fold k.
            temperature: tau.
        """
        out = BankScores.zeros(len(self.everything))
        for fold, rows, bank in self._blocks():
            pairs = self.everything.take(rows)
            scores = score_against_bank(heads[fold], pairs, bank, temperature=temperature)
            out.add(rows, scores)
        return out

    def held_out_loss(self, heads: tuple[Heads, ...], *, temperature: float) -> Floats:
        """Return the negCLIPLoss of `held_out` against the first bank alone, shape (n + m,)."""
        losses = np.empty(len(self.everything), np.float32)
        for fold, rows, bank in self._blocks():
            losses[rows] = loss_against_bank(
                heads[fold], self.everything.take(rows), bank, temperature=temperature
            )
        return losses

    @property
    def block(self) -> Ints:
        """Fold + number of folds x half of each observed pair, shape (n,)."""
        block: Ints = self.fold + self.n_folds * self.half
        return block

    @property
    def block_of_everything(self) -> Ints:
        """The same of observed and planted pairs, shape (n + m,)."""
        return np.append(self.block, self.block[self.planted.row])

    def _blocks(self) -> Iterator[tuple[int, Ints, ReferenceBank]]:
        fold = np.append(self.fold, self.fold[self.planted.row])
        run = np.append(np.full(len(self.pairs), _OBSERVED), self.planted.run)
        for each in range(_OBSERVED, self.n_runs):
            bank = self.bank if each == _OBSERVED else self.bank_of_run(each)
            for number in range(self.n_folds):
                rows = np.flatnonzero((fold == number) & (run == each))
                if len(rows):
                    yield number, rows, bank
