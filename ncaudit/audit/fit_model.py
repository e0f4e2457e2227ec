"""Fitting the audit model: plant, cross-fit, take part, calibrate, check."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ncaudit.audit.evidence import Trained, held_out_evidence, trained_evidence
from ncaudit.audit.judged import NOTHING, Judged, Known
from ncaudit.audit.model import AuditModel, FitTable, signal_columns, sorted_table
from ncaudit.audit.recalibrate import Signals, recalibrate, said_by_people
from ncaudit.audit.self_check import check_itself, thinned
from ncaudit.calibration.cohesion import share_together
from ncaudit.calibration.separability import check_separability
from ncaudit.calibration.two_groups import (
    Evidence,
    TwoGroups,
    fit_two_groups,
    resample,
    share_interval,
)
from ncaudit.config import FitConfig, as_plain
from ncaudit.errors import FitError
from ncaudit.matching.bank import draw_bank
from ncaudit.matching.crossfit import CrossFit, cross_fit
from ncaudit.matching.fit_set import FitSet
from ncaudit.matching.folds import assign_folds, group_rows
from ncaudit.matching.meta import fit_meta
from ncaudit.matching.moments import moments_of
from ncaudit.matching.neighbours import discrepancy, draw_reference
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.participation import take_part
from ncaudit.matching.planted import Planted, plant_mismatches
from ncaudit.matching.start import shared_rotation
from ncaudit.report.columns import SIGNAL_NAMES
from ncaudit.types import EncoderCard, Floats, Ints

_N_RESAMPLES = 8
_MAX_ROWS = 20_000  # evidence rows a calibration is fitted on; more change nothing
_LEAST_PLANTED = 500  # over all runs, where there are few pairs
_MOST_PLANTED = 0.8  # share of the pairs, over all runs


def fit_model(
    pairs: Pairs,
    config: FitConfig,
    card: EncoderCard,
    *,
    seed: int,
    known: Known = NOTHING,
    on_step: Callable[[int], None] | None = None,
) -> AuditModel:
    """Fit heads and calibration on pairs of which some are mismatched.

    Args:
        pairs: Observed pairs.
        config: Folds, training, banks, planted share.
        card: Encoder of the embeddings.
        seed: Root of every draw.
        known: Pairs that people vouched for, and their verdicts.
        on_step: Called with 1 after each of `n_fit_steps(config)` steps.

    Returns:
        The model. With fewer than `config.min_pairs` pairs of an aligned encoder it holds
        the start alone and has no probabilities.

    Raises:
        FitError: If there are too few pairs for towers that share no space, or the
            embeddings do not vary.
    """
    if len(pairs) < config.min_pairs:
        return _start_only(pairs, config, card, seed=seed)
    trained = train(pairs, config, card, seed=seed, known=known, on_step=on_step)
    model = calibrate(trained, config, card, seed=seed, judged=known.judged)
    if on_step:
        on_step(1)
    return model


def n_fit_steps(config: FitConfig) -> int:
    """Return how many steps `fit_model` reports."""
    return config.heads.folds + config.heads.runs + 3


def train(
    pairs: Pairs,
    config: FitConfig,
    card: EncoderCard,
    *,
    seed: int,
    known: Known = NOTHING,
    on_step: Callable[[int], None] | None = None,
) -> Trained:
    """Train heads and networks and gather all signals; the slow half of `fit_model`.

    Args, errors and steps are those of `fit_model`.
    """
    config = replace(config, heads=config.heads.for_size(len(pairs)))
    try:
        fit_set = _fit_set(pairs, config, seed=seed)
        crossed = cross_fit(fit_set, config, aligned=card.aligned, seed=seed, on_fold=on_step)
        fit_set, crossed = _planted_alike(fit_set, crossed, config, seed=seed)
        parts = take_part(fit_set, crossed, config, seed=seed, on_run=on_step)
    except ValueError as error:
        raise FitError(
            f"the model could not be fitted: {error}",
            hint="Look at the embeddings: are most images or captions the same?",
        ) from error
    similarity = crossed.held_out.similarity
    match = _after_verdicts(crossed.held_out.match_probability[: len(pairs)], pairs, known.judged)
    meta = fit_meta(fit_set, crossed.heads, match, config.meta, given=known.trusted, seed=seed)
    if on_step:
        on_step(1)
    reference = draw_reference(
        pairs,
        similarity[: len(pairs)],
        n_reference=config.neighbours.reference,
        k=config.neighbours.k,
        seed=seed,
    )
    far = discrepancy(reference, fit_set.everything, similarity, aligned=card.aligned)
    if on_step:
        on_step(1)
    return Trained(fit_set, crossed, parts, meta, reference, far)


def calibrate(
    trained: Trained,
    config: FitConfig,
    card: EncoderCard,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    judged: Judged | None = None,
) -> AuditModel:
    """Turn signals into probabilities; the quick half of `fit_model`.

    Args:
        trained: What training gave.
        config: `signals` are those that may decide.
        card: Encoder of the embeddings.
        seed: Root of every draw.
        names: Signals that decide; None for `deciding_names`.
        judged: People's verdicts, or None.
    """
    fit_set = trained.fit_set
    names = names or deciding_names(trained, config)
    inside, outside = trained_evidence(trained, names), held_out_evidence(trained, names)
    group = group_rows(fit_set.pairs.image_id)
    fits, outside_fits = _fits(inside, group, seed), _fits(outside, group, seed)
    columns, summary = _columns(trained, inside, fits), _summary(trained, inside, fits, seed)
    labelled = None
    if judged is not None:
        n = len(fit_set.pairs)
        changed = recalibrate(
            judged,
            fit_set.pairs,
            Signals(_mean_by_pair(inside.pair, inside.observed, n), columns["p_mismatch"]),
            Signals(outside.observed, outside_fits[0].p_mismatch(outside.observed)),
            seed=seed,
        )
        columns |= changed.columns
        labelled, summary = changed.outside, said_by_people(summary, changed)
    contributions = _mean_by_pair(
        inside.pair, fits[0].contributions(inside.observed), len(fit_set.pairs)
    )
    history = np.nanmean([part.history for part in trained.parts.observed], axis=0)
    return AuditModel(
        encoder=card,
        seed=seed,
        temperature=config.heads.temperature,
        heads=trained.crossed.heads,
        bank=fit_set.bank,
        reference=trained.reference,
        matchers=trained.meta.matchers,
        mixture=trained.meta.mixture,
        deciding=inside.names,
        outside=tuple(outside_fits),
        labelled=labelled,
        table=sorted_table(
            fit_set.pairs, columns, contributions - np.median(contributions, axis=0), history.T
        ),
        summary=summary,
        config=as_plain(config),
    )


def _after_verdicts(match: Floats, pairs: Pairs, judged: Judged | None) -> Floats:
    """Put pairs that people call matched before all others, and mismatches behind them."""
    if judged is None:
        return match
    rows = judged.rows_in(pairs)
    ranked = match.copy()
    ranked[rows[rows >= 0]] = np.where(judged.is_mismatch[rows >= 0], -1.0, 2.0)
    return ranked


def deciding_names(trained: Trained, config: FitConfig) -> tuple[str, ...]:
    """Return the signals that decide.

    A network that chose its own trusted pairs repeats what the heads say, with noise of
    its own: MSCN decides where people vouched for pairs, or where it was asked for alone.
    """
    if trained.meta.trusted == "given":
        return config.signals
    return tuple(name for name in config.signals if name != "mscn_similarity") or config.signals


def _planted_alike(
    fit_set: FitSet, crossed: CrossFit, config: FitConfig, *, seed: int
) -> tuple[FitSet, CrossFit]:
    """Plant again, so that planted pairs move together as often as the observed mismatches."""
    group = group_rows(fit_set.pairs.image_id)
    if len(np.unique(group)) == len(group):
        return fit_set, crossed
    n, loss = len(fit_set.pairs), -crossed.held_out.neg_clip_loss[:, None]
    evidence = Evidence(("neg_clip_loss",), loss[:n], np.arange(n), loss[n:])
    first = fit_two_groups(thinned(evidence, _MAX_ROWS, seed))
    together = share_together(
        first.p_mismatch(evidence.observed), group, first.p_mismatch(evidence.planted)
    )
    planted = _plant(fit_set.pairs, fit_set.block, config, seed=seed, together=together)
    again = replace(fit_set, planted=planted, together=together)
    held_out = again.held_out(crossed.heads, temperature=config.heads.temperature)
    return again, replace(crossed, held_out=held_out)


def _fit_set(pairs: Pairs, config: FitConfig, *, seed: int) -> FitSet:
    """Return folds and banks with whole images planted, until more is known of the mismatches."""
    n_folds, runs = config.heads.folds, config.heads.runs
    block = assign_folds(group_rows(pairs.image_id), n_folds=2 * n_folds, seed=seed)
    planted = _plant(pairs, block, config, seed=seed, together=1.0)
    drawn = draw_bank(len(pairs), config.bank, seed=seed)
    return FitSet(pairs, block % n_folds, block // n_folds, planted, drawn, runs)


def _plant(pairs: Pairs, block: Ints, config: FitConfig, *, seed: int, together: float) -> Planted:
    runs = config.heads.runs
    # Plant enough for a calibration even where there are few pairs.
    fraction = max(config.planted_fraction, _LEAST_PLANTED / runs / len(pairs))
    # And no more than a calibration looks at: what is planted is missing in the training.
    fraction = min(fraction, _MOST_PLANTED / runs, _MAX_ROWS / runs / len(pairs))
    return plant_mismatches(
        pairs, block, n_runs=runs, fraction=fraction, seed=seed, together=together
    )


def _fits(evidence: Evidence, group: Ints, seed: int) -> list[TwoGroups]:
    """Fit once on the evidence, then on resamples of it."""
    small = thinned(evidence, _MAX_ROWS, seed)
    half = thinned(small, _MAX_ROWS // 2, seed)
    fits = resample(half, group, n_resamples=_N_RESAMPLES, seed=seed)
    return [fit_two_groups(small), *fits]


def _columns(trained: Trained, inside: Evidence, fits: list[TwoGroups]) -> dict[str, Floats]:
    """Return every number the table shows of the fit pairs."""
    n = len(trained.fit_set.pairs)
    said = signal_columns(trained.crossed.held_out) | trained.held_out
    columns = {name: values[:n] for name, values in said.items()}
    columns["mscn_clean_posterior"] = trained.meta.mixture.posterior(columns["mscn_similarity"])
    parts = trained.parts.observed
    columns["crcl_label"] = np.nanmean([part.label for part in parts], axis=0)
    columns["crcl_match_probability"] = np.nanmean([part.match for part in parts], axis=0)
    draws = np.stack([fit.p_mismatch(inside.observed) for fit in fits])
    p = _mean_by_pair(inside.pair, draws[0][:, None], n)[:, 0]
    low, high = _interval(inside.pair, draws, n)
    return columns | {"p_mismatch": p, "p_low": np.minimum(low, p), "p_high": np.maximum(high, p)}


def _interval(pair: Ints, draws: Floats, n: int) -> tuple[Floats, Floats]:
    """Return 10 and 90 % of each pair's probabilities over runs and resamples."""
    order = np.argsort(pair, kind="stable")
    counts = np.bincount(pair, minlength=n)
    starts = np.append(0, counts.cumsum())[:-1]
    low, high = np.empty(n), np.empty(n)
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        at = order[starts[rows][:, None] + np.arange(count)]
        values = draws[:, at].transpose(1, 0, 2).reshape(len(rows), -1)
        low[rows], high[rows] = np.quantile(values, [0.1, 0.9], axis=1)
    return low, high


def _mean_by_pair(pair: Ints, values: Floats, n: int) -> Floats:
    count = np.bincount(pair, minlength=n)[:, None]
    sums = np.stack([np.bincount(pair, column, n) for column in values.T], axis=1)
    mean: Floats = sums / np.maximum(count, 1)
    return mean


def _summary(
    trained: Trained, inside: Evidence, fits: list[TwoGroups], seed: int
) -> dict[str, Any]:
    share = share_interval(fits[0], fits[1:])
    check = check_itself(inside, n_rows=_MAX_ROWS // 2, seed=seed)
    found = check_separability(
        fits[0].p_mismatch(inside.observed),
        inside.pair,
        fits[0].p_mismatch(inside.planted),
        self_check_auroc=float(np.clip(check.auroc, 0.0, 1.0)),
    )
    crossed = trained.crossed
    return {
        "estimated_noise_rate": share.estimate,
        "noise_rate_low": share.low,
        "noise_rate_high": share.high,
        "self_check": asdict(check),
        "separable": found.separable,
        "banner": " ".join(found.warnings),
        "separability": found.statistics,
        "moving_together": trained.fit_set.together,
        "assumption": "mismatches look like captions drawn at random from the same shards",
        "heads": "trained" if crossed.is_trained else "start",
        "start_auroc": crossed.start_auroc,
        "heads_auroc": crossed.heads_auroc,
        "ridge": crossed.ridge,
        "meta": trained.meta.trusted,
        "n_trusted": trained.meta.n_trusted,
        "n_fit": len(trained.fit_set.pairs),
        "verdicts": None,
    }


def _start_only(pairs: Pairs, config: FitConfig, card: EncoderCard, *, seed: int) -> AuditModel:
    """Return a model that only compares, for aligned towers and too few pairs."""
    if not card.aligned or len(pairs) < 2:
        raise FitError(
            f"{len(pairs)} pairs can be scored, and fitting needs {config.min_pairs}",
            hint="Give more shards, use a model fitted elsewhere (--model), "
            "or an aligned encoder (--encoder MODEL/PRETRAINED).",
        )
    heads = shared_rotation(moments_of(pairs, aligned=True), dim=pairs.image.shape[1])
    nothing = np.zeros(0, np.uint64)
    names = ("p_mismatch", "p_low", "p_high", *SIGNAL_NAMES)
    columns = {name: np.zeros(0, np.float32) for name in names}
    bank = draw_bank(len(pairs), config.bank, seed=seed).of(pairs)
    return AuditModel(
        encoder=card,
        seed=seed,
        temperature=config.heads.temperature,
        heads=(heads,),
        bank=bank,
        reference=None,
        matchers=(),
        mixture=None,
        deciding=config.signals,
        outside=(),
        labelled=None,
        table=FitTable(
            nothing,
            nothing,
            columns,
            np.zeros((0, len(config.signals)), np.float32),
            np.zeros((0, 0), np.float32),
        ),
        summary={
            "separable": False,
            "banner": f"{len(pairs)} pairs are too few to fit ({config.min_pairs} are needed): "
            "similarity is the encoder's own, and there is no p_mismatch.",
            "n_fit": 0,
        },
        config=as_plain(config),
    )
