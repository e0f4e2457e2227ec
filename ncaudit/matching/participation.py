"""What taking part in training leaves behind, for observed pairs and planted mismatches alike.

The labels and in-sample scores that only training gives cannot be judged on pairs that were
never trained on. So known mismatches are planted among the pairs, go through the same
training, and show what a mismatch looks like afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from sklearn.metrics import roc_auc_score

from ncaudit.config import FitConfig
from ncaudit.matching.bank import loss_against_bank, score_against_bank
from ncaudit.matching.crossfit import CrossFit, start_of
from ncaudit.matching.fit_set import FitSet
from ncaudit.matching.moments import moments_of
from ncaudit.matching.training import train_heads
from ncaudit.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Participation:
    """What one run's training left behind; NaN where a pair did not take part.

    Attributes:
        label: SCC label at the end, shape (n,).
        history: SCC labels after each epoch, shape (epochs, n).
        loss: In-sample negCLIPLoss against the banks, shape (n,).
        match: In-sample match probability against the banks, shape (n,).
    """

    label: Floats
    history: Floats
    loss: Floats
    match: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Participations:
    """What all runs left behind.

    Attributes:
        observed: One entry per run, over the n observed pairs.
        planted: One entry, over the m planted pairs, each from its own run.
    """

    observed: tuple[Participation, ...]
    planted: Participation


def take_part(
    fit_set: FitSet,
    crossed: CrossFit,
    config: FitConfig,
    *,
    seed: int,
    on_run: Callable[[int], None] | None = None,
) -> Participations:
    """Train heads on all pairs, once per run with that run's mismatches planted among them.

    The start of a run may have a smaller ridge than the held-out start: it is here to
    memorise what is consistent, and hard mismatches show in what it fails to memorise.

    Args:
        fit_set: Observed and planted pairs.
        crossed: Its match probabilities are the first labels.
        config: Start and training.
        seed: Decides the batches.
        on_run: Called with 1 after each run.

    Source:
        Qin et al., NeurIPS 2023, arXiv:2310.17468 (labels); planting mismatches to
        compare with is ours.
    """
    ridge = None if crossed.ridge is None else _memorising_ridge(fit_set, config)
    runs = []
    for run in range(fit_set.n_runs):
        runs.append(_one_run(fit_set, crossed, config, run=run, ridge=ridge, seed=seed))
        if on_run:
            on_run(1)
    return _sorted_out(fit_set, runs)


def _memorising_ridge(fit_set: FitSet, config: FitConfig) -> float:
    """Return the least ridge that keeps the first run's planted pairs apart nearly as well."""
    pairs, bank = fit_set.pairs_of_run(0), fit_set.bank_of_run(0)
    moments = moments_of(pairs, aligned=False)
    is_observed = np.ones(len(pairs), bool)
    is_observed[fit_set.planted.row[fit_set.planted.run == 0]] = False
    aurocs = {}
    for ridge in sorted(config.heads.run_ridges):
        start = start_of(moments, config.heads, ridge=ridge)
        loss = loss_against_bank(start, pairs, bank, temperature=config.heads.temperature)
        aurocs[ridge] = float(roc_auc_score(is_observed, loss))
    enough = max(aurocs.values()) - config.heads.run_tolerance
    return next(ridge for ridge, auroc in aurocs.items() if auroc >= enough)


def _one_run(
    fit_set: FitSet,
    crossed: CrossFit,
    config: FitConfig,
    *,
    run: int,
    ridge: float | None,
    seed: int,
) -> Participation:
    pairs = fit_set.pairs_of_run(run)
    start = start_of(moments_of(pairs, aligned=ridge is None), config.heads, ridge=ridge)
    n = len(fit_set.pairs)
    at = np.flatnonzero(fit_set.planted.run == run)
    labels = crossed.held_out.match_probability[:n].copy()
    labels[fit_set.planted.row[at]] = crossed.held_out.match_probability[n:][at]
    trained = train_heads(start, pairs, labels, config.heads, seed=seed + fit_set.n_folds + run)
    scores = score_against_bank(
        trained.checkpoints[-1],
        pairs,
        fit_set.bank_of_run(run),
        temperature=config.heads.temperature,
    )
    return Participation(
        label=trained.labels[-1],
        history=trained.labels,
        loss=scores.neg_clip_loss,
        match=scores.match_probability,
    )


def _sorted_out(fit_set: FitSet, runs: list[Participation]) -> Participations:
    """Separate the planted pairs from those whose places they took."""
    observed: list[Participation] = []
    planted: dict[str, Floats] = {}
    for run, part in enumerate(runs):
        at = np.flatnonzero(fit_set.planted.run == run)
        rows = fit_set.planted.row[at]
        kept = {}
        for field in fields(Participation):
            values = getattr(part, field.name)
            empty = np.full((*values.shape[:-1], len(fit_set.planted)), np.nan, np.float32)
            planted.setdefault(field.name, empty)[..., at] = values[..., rows]
            kept[field.name] = values.copy()
            kept[field.name][..., rows] = np.nan
        observed.append(Participation(**kept))
    return Participations(tuple(observed), Participation(**planted))
