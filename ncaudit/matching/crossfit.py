"""Cross-fitting: heads for each fold, started and trained on all pairs but that fold's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from ncaudit.config import FitConfig, HeadsConfig
from ncaudit.matching.bank import BankScores
from ncaudit.matching.fit_set import FitSet
from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import Moments, moments_of
from ncaudit.matching.start import ridge_cca, shared_rotation
from ncaudit.matching.training import train_heads
from ncaudit.types import Ints


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """Heads of every fold and what they say of pairs they have not seen.

    Attributes:
        heads: Heads to judge with, one per fold; `heads[k]` never saw fold k.
        is_trained: False if no checkpoint separated held-out pairs from planted ones
            better than the start, so that `heads` are the starts.
        start_auroc: Held-out AUROC of observed pairs against planted ones, start.
        heads_auroc: The same for `heads`.
        ridge: Ridge of the CCA start; None where the towers are aligned.
        held_out: Scores of the n observed pairs, then of the m planted ones.
    """

    heads: tuple[Heads, ...]
    is_trained: bool
    start_auroc: float
    heads_auroc: float
    ridge: float | None
    held_out: BankScores


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
        fit_set: Observed and planted pairs; the heads see observed ones only.
        config: Start and training.
        aligned: Whether the towers share a space.
        seed: Decides the batches.
        on_fold: Called with 1 after each fold.
    """
    start, ridge = _best_start(fit_set, config, aligned=aligned)
    temperature = config.heads.temperature
    held_out = fit_set.held_out(start.heads, temperature=temperature)
    labels = held_out.match_probability[: len(fit_set.pairs)]
    runs = []
    for fold, heads in enumerate(start.heads):
        rows = _learned(fit_set, fold, config.heads, seed=seed)
        pairs = fit_set.pairs.take(rows)
        runs.append(train_heads(heads, pairs, labels[rows], config.heads, seed=seed + fold))
        if on_fold:
            on_fold(1)
    trained = [
        _judge(fit_set, heads, config)
        for heads in zip(*(each.checkpoints for each in runs), strict=True)
    ]
    best = max([start, *trained], key=lambda each: each.auroc)
    if best is not start:
        held_out = fit_set.held_out(best.heads, temperature=temperature)
    return CrossFit(
        heads=best.heads,
        is_trained=best is not start,
        start_auroc=start.auroc,
        heads_auroc=best.auroc,
        ridge=ridge,
        held_out=held_out,
    )


def start_of(moments: Moments, config: HeadsConfig, *, ridge: float | None) -> Heads:
    """Return where heads start: a shared rotation without a ridge, ridge CCA with one."""
    if ridge is None:
        return shared_rotation(moments, dim=len(moments.image))
    return ridge_cca(moments, dim=config.dim, ridge=ridge)


def _learned(fit_set: FitSet, fold: int, config: HeadsConfig, *, seed: int) -> Ints:
    """Return the pairs that a fold's heads learn from: of all others, `most_visits` at most."""
    rows = np.flatnonzero(fit_set.fold != fold)
    if len(rows) > config.most_visits:
        rng = np.random.default_rng([seed, 11, fold])
        rows = np.sort(rng.choice(rows, config.most_visits, replace=False))
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    heads: tuple[Heads, ...]
    auroc: float


def _judge(fit_set: FitSet, heads: tuple[Heads, ...], config: FitConfig) -> _Judged:
    """Tell how well heads tell observed pairs from planted ones, both held out."""
    loss = fit_set.held_out_loss(heads, temperature=config.heads.temperature)
    is_observed = np.arange(len(loss)) < len(fit_set.pairs)
    return _Judged(heads, float(roc_auc_score(is_observed, loss)))


def _best_start(
    fit_set: FitSet, config: FitConfig, *, aligned: bool
) -> tuple[_Judged, float | None]:
    """Return the start of every fold, with the ridge that separates best held out."""
    folds = _moments_without(fit_set, aligned=aligned)
    ridges: list[float | None] = [None] if aligned else list(config.heads.ridges)
    starts = [
        _judge(fit_set, tuple(start_of(each, config.heads, ridge=ridge) for each in folds), config)
        for ridge in ridges
    ]
    best = int(np.argmax([each.auroc for each in starts]))
    return starts[best], ridges[best]


def _moments_without(fit_set: FitSet, *, aligned: bool) -> list[Moments]:
    """Return for every fold the moments of all pairs but its own."""
    by_fold = [
        moments_of(fit_set.pairs.take(np.flatnonzero(fit_set.fold == fold)), aligned=aligned)
        for fold in range(fit_set.n_folds)
    ]
    total = sum(by_fold[1:], by_fold[0])
    return [total - own for own in by_fold]
