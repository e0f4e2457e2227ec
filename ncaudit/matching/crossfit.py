"""Cross-fitting: one run per fold, with mismatches planted among its training pairs.

A pair is judged by heads that never saw it; the labels and in-sample scores that only
training gives are compared with those of planted pairs that went through the same
training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from ncaudit.config import FitConfig
from ncaudit.matching.bank import (
    BankScores,
    ReferenceBank,
    loss_against_bank,
    score_against_bank,
)
from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import Moments, moments_of
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.planted import Planted, observed_and_planted, training_pairs
from ncaudit.matching.start import ridge_cca, shared_rotation
from ncaudit.matching.training import Trained, train_heads
from ncaudit.types import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Participation:
    """What training left behind for pairs that took part in one run.

    Attributes:
        label: SCC label at the end, shape (n,), NaN where a pair did not take part.
        history: SCC labels after each epoch, shape (epochs, n).
        loss: In-sample negCLIPLoss against the banks, shape (n,).
        match: In-sample match probability against the banks, shape (n,).
    """

    label: Floats
    history: Floats
    loss: Floats
    match: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """Heads of every run and what they say of observed and planted pairs.

    Attributes:
        heads: Heads to judge with, one per fold; `heads[k]` never saw fold k.
        trained_heads: Heads at the end of training, one per run.
        is_trained: False if no checkpoint separated held-out pairs from planted ones
            better than the start, so that `heads` are the starts.
        start_auroc: Held-out AUROC of observed pairs against planted ones, start.
        heads_auroc: The same for `heads`.
        ridge: Ridge of the CCA start; None where the towers are aligned.
        held_out: Out-of-fold scores of the n observed pairs, then the m planted ones.
        observed: One entry per run, over the n observed pairs.
        planted: One entry, over the m planted pairs, each from its own run.
    """

    heads: tuple[Heads, ...]
    trained_heads: tuple[Heads, ...]
    is_trained: bool
    start_auroc: float
    heads_auroc: float
    ridge: float | None
    held_out: BankScores
    observed: tuple[Participation, ...]
    planted: Participation


@dataclass(frozen=True, slots=True, eq=False)
class FitSet:
    """Observed pairs with their folds, and the mismatches planted for each run.

    Attributes:
        pairs: Observed pairs, n of them.
        fold: Fold of each, shape (n,).
        planted: m mismatches.
        bank: Reference banks drawn from the observed pairs.
    """

    pairs: Pairs
    fold: Ints
    planted: Planted
    bank: ReferenceBank

    @property
    def n_folds(self) -> int:
        """Number of folds, which is the number of runs."""
        return int(self.fold.max()) + 1

    def rows_of_run(self, run: int) -> Ints:
        """Return the rows that take part in the training of a run."""
        return np.flatnonzero(self.fold != run)


def cross_fit(
    fit_set: FitSet,
    config: FitConfig,
    *,
    aligned: bool,
    seed: int,
    on_fold: Callable[[int], None] | None = None,
) -> CrossFit:
    """Start and train heads once per fold and keep what beats the start.

    Args:
        fit_set: Observed and planted pairs.
        config: Start and training.
        aligned: Whether the towers share a space.
        seed: Decides the batches.
        on_fold: Called with 1 after each fold.
    """
    judge = _Judge(fit_set, config)
    starts, ridge = start_heads(fit_set, config, judge, aligned=aligned)
    start_scores = judge.held_out(starts)
    runs = []
    for run, start in enumerate(starts):
        rows = fit_set.rows_of_run(run)
        batch = training_pairs(fit_set.pairs, rows, fit_set.planted.of_run(run))
        labels = judge.first_labels(start_scores, run)[rows]
        runs.append(train_heads(start, batch, labels, config.heads, seed=seed + run))
        if on_fold:
            on_fold(1)
    checkpoints = [starts, *zip(*(trained.checkpoints for trained in runs), strict=True)]
    aurocs = [judge.auroc(heads) for heads in checkpoints]
    best = int(np.argmax(aurocs))
    observed, planted = _participation(fit_set, runs, config)
    return CrossFit(
        heads=checkpoints[best],
        trained_heads=checkpoints[-1],
        is_trained=best > 0,
        start_auroc=aurocs[0],
        heads_auroc=aurocs[best],
        ridge=ridge,
        held_out=judge.held_out(checkpoints[best]),
        observed=observed,
        planted=planted,
    )


def start_heads(
    fit_set: FitSet, config: FitConfig, judge: "_Judge", *, aligned: bool
) -> tuple[tuple[Heads, ...], float | None]:
    """Return the start of every run, and the ridge that separates best held out."""
    moments = _moments_of_runs(fit_set, aligned=aligned)
    if aligned:
        dim = fit_set.pairs.image.shape[1]
        return tuple(shared_rotation(each, dim=dim) for each in moments), None
    starts = {
        ridge: tuple(ridge_cca(each, dim=config.heads.dim, ridge=ridge) for each in moments)
        for ridge in config.heads.ridges
    }
    aurocs = {ridge: judge.auroc(heads) for ridge, heads in starts.items()}
    ridge = max(aurocs, key=lambda each: aurocs[each])
    return starts[ridge], ridge


def _moments_of_runs(fit_set: FitSet, *, aligned: bool) -> list[Moments]:
    """Return the moments of every run's training pairs, planted ones in their places."""
    pairs = fit_set.pairs
    by_fold = [
        moments_of(pairs.take(np.flatnonzero(fit_set.fold == fold)), aligned=aligned)
        for fold in range(fit_set.n_folds)
    ]
    total = sum(by_fold[1:], by_fold[0])
    runs = []
    for run, own in enumerate(by_fold):
        planted = fit_set.planted.of_run(run)
        moments = total - own
        if len(planted):
            before = moments_of(pairs.take(planted.row), aligned=aligned)
            after = moments_of(planted.pairs(pairs), aligned=aligned)
            moments = moments - before + after
        runs.append(moments)
    return runs


class _Judge:
    """Scores observed and planted pairs with the heads that did not see them."""

    def __init__(self, fit_set: FitSet, config: FitConfig) -> None:
        self._fit_set = fit_set
        self._config = config
        self._all = observed_and_planted(fit_set.pairs, fit_set.planted)
        self._fold = np.append(fit_set.fold, fit_set.fold[fit_set.planted.row])

    def held_out(self, heads: Sequence[Heads]) -> BankScores:
        """Return out-of-fold scores, observed pairs first."""
        names = list(BankScores.__dataclass_fields__)
        out = {name: np.empty(len(self._all), np.float32) for name in names}
        for fold, fold_heads in enumerate(heads):
            rows = np.flatnonzero(self._fold == fold)
            scores = score_against_bank(
                fold_heads,
                self._all.take(rows),
                self._fit_set.bank,
                temperature=self._config.heads.temperature,
            )
            for name in names:
                out[name][rows] = getattr(scores, name)
        return BankScores(**out)

    def auroc(self, heads: Sequence[Heads]) -> float:
        """Return how well heads tell observed pairs from planted ones."""
        loss = np.empty(len(self._all), np.float32)
        for fold, fold_heads in enumerate(heads):
            rows = np.flatnonzero(self._fold == fold)
            loss[rows] = loss_against_bank(
                fold_heads,
                self._all.take(rows),
                self._fit_set.bank,
                temperature=self._config.heads.temperature,
            )
        is_observed = np.arange(len(self._all)) < len(self._fit_set.pairs)
        return float(roc_auc_score(is_observed, loss))

    def first_labels(self, scores: BankScores, run: int) -> Floats:
        """Return the labels a run starts from: the start's match probabilities."""
        n = len(self._fit_set.pairs)
        labels = scores.match_probability[:n].copy()
        planted = self._fit_set.planted
        at = planted.run == run
        labels[planted.row[at]] = scores.match_probability[n:][at]
        return labels


def _participation(
    fit_set: FitSet, runs: Sequence[Trained], config: FitConfig
) -> tuple[tuple[Participation, ...], Participation]:
    """Sort what training left behind into observed pairs by run and planted pairs."""
    epochs, n_planted = config.heads.n_epochs, len(fit_set.planted)
    observed, planted = [], _nothing(epochs, n_planted)
    for run, trained in enumerate(runs):
        rows = fit_set.rows_of_run(run)
        batch = training_pairs(fit_set.pairs, rows, fit_set.planted.of_run(run))
        scores = score_against_bank(
            trained.checkpoints[-1], batch, fit_set.bank, temperature=config.heads.temperature
        )
        whole = _nothing(epochs, len(fit_set.pairs))
        _fill(whole, rows, trained.labels, scores)
        at = np.flatnonzero(fit_set.planted.run == run)
        replaced = fit_set.planted.row[at]
        _move(whole, replaced, planted, at)
        observed.append(whole)
    return tuple(observed), planted


def _nothing(epochs: int, n: int) -> Participation:
    empty = np.full(n, np.nan, np.float32)
    history = np.full((epochs, n), np.nan, np.float32)
    return Participation(empty, history, empty.copy(), empty.copy())


def _fill(into: Participation, rows: Ints, labels: Floats, scores: BankScores) -> None:
    into.label[rows] = labels[-1]
    into.history[:, rows] = labels
    into.loss[rows] = scores.neg_clip_loss
    into.match[rows] = scores.match_probability


def _move(source: Participation, rows: Ints, target: Participation, at: Ints) -> None:
    """Hand the planted pairs' values to `target` and blank them where they stood."""
    for name in ("label", "loss", "match"):
        getattr(target, name)[at] = getattr(source, name)[rows]
        getattr(source, name)[rows] = np.nan
    target.history[:, at] = source.history[:, rows]
    source.history[:, rows] = np.nan
