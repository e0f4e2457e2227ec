"""Fitting the audit model: plant, cross-fit, calibrate, check."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from ncaudit.audit.model import AuditModel, FitTable, signal_columns, sorted_table
from ncaudit.calibration.two_groups import (
    Evidence,
    TwoGroups,
    fit_two_groups,
    resample,
    share_interval,
)
from ncaudit.config import FitConfig, as_plain
from ncaudit.errors import FitError
from ncaudit.matching.bank import BankScores, draw_bank
from ncaudit.matching.crossfit import CrossFit, FitSet, cross_fit
from ncaudit.matching.folds import assign_folds, group_rows
from ncaudit.matching.moments import moments_of
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.planted import plant_mismatches
from ncaudit.matching.start import shared_rotation
from ncaudit.signals.deciding import (
    HELD_OUT_NAMES,
    TRAINED_NAMES,
    held_out_signals,
    trained_signals,
)
from ncaudit.types import EncoderCard, Floats, Ints

_N_RESAMPLES = 8
_MAX_ROWS = 20_000  # evidence rows a calibration is fitted on; more change nothing
_CHECK_SHARE = 0.25  # of the planted pairs, kept from the calibration for the self-check
_LEAST_CHECK_AUROC = 0.7


def fit_model(
    pairs: Pairs,
    config: FitConfig,
    card: EncoderCard,
    *,
    seed: int,
    on_step: Callable[[int], None] | None = None,
) -> AuditModel:
    """Fit heads and calibration on pairs of which some are mismatched.

    Args:
        pairs: Observed pairs.
        config: Folds, training, banks, planted share.
        card: Encoder of the embeddings.
        seed: Root of every draw.
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
    try:
        fold = assign_folds(group_rows(pairs.image_id), n_folds=config.heads.folds, seed=seed)
        planted = plant_mismatches(pairs, fold, fraction=_fraction(pairs, config), seed=seed)
        bank = draw_bank(pairs, config.bank, seed=seed)
        fit_set = FitSet(pairs, fold, planted, bank)
        fitted = cross_fit(fit_set, config, aligned=card.aligned, seed=seed, on_fold=on_step)
    except ValueError as error:
        raise FitError(
            f"the model could not be fitted: {error}",
            hint="Look at the embeddings: are most images or captions the same?",
        ) from error
    return _calibrated(fit_set, fitted, config, card, seed=seed, on_step=on_step)


def n_fit_steps(config: FitConfig) -> int:
    """Return how many steps `fit_model` reports."""
    return config.heads.folds + 1


def _fraction(pairs: Pairs, config: FitConfig) -> float:
    """Plant enough for a calibration even where there are few pairs."""
    least = 100 / len(pairs)
    return min(max(config.planted_fraction, least), 0.8 / config.heads.folds)


def _calibrated(
    fit_set: FitSet,
    fitted: CrossFit,
    config: FitConfig,
    card: EncoderCard,
    *,
    seed: int,
    on_step: Callable[[int], None] | None,
) -> AuditModel:
    inside, pair = _trained_evidence(fit_set, fitted)
    n = len(fit_set.pairs)
    outside = Evidence(
        HELD_OUT_NAMES,
        held_out_signals(fitted.held_out.neg_clip_loss[:n]),
        np.arange(n),
        held_out_signals(fitted.held_out.neg_clip_loss[n:]),
    )
    group = group_rows(fit_set.pairs.image_id)
    fits = _fits(inside, group, seed)
    columns = _columns(fit_set, fitted, inside, fits)
    contributions = _mean_by_pair(pair, fits[0].contributions(inside.observed), n)
    if on_step:
        on_step(1)
    return AuditModel(
        encoder=card,
        seed=seed,
        temperature=config.heads.temperature,
        heads=fitted.heads,
        bank=fit_set.bank,
        deciding=TRAINED_NAMES,
        outside=tuple(_fits(outside, group, seed)),
        table=sorted_table(
            fit_set.pairs, columns, contributions - np.median(contributions, axis=0)
        ),
        summary=_summary(inside, fitted, fits, columns["p_mismatch"], seed),
        config=as_plain(config),
    )


def _trained_evidence(fit_set: FitSet, fitted: CrossFit) -> tuple[Evidence, Ints]:
    """Pair the held-out loss with what each run's training left behind."""
    n = len(fit_set.pairs)
    loss = fitted.held_out.neg_clip_loss
    rows, pair = [], []
    for run in fitted.observed:
        took_part = np.flatnonzero(~np.isnan(run.loss))
        rows.append(
            trained_signals(
                loss[:n][took_part],
                run.loss[took_part],
                run.match[took_part],
                run.label[took_part],
            )
        )
        pair.append(took_part)
    one = fitted.planted
    planted = trained_signals(loss[n:], one.loss, one.match, one.label)
    owner = np.concatenate(pair)
    return Evidence(TRAINED_NAMES, np.concatenate(rows), owner, planted), owner


def _fits(evidence: Evidence, group: Ints, seed: int) -> list[TwoGroups]:
    """Fit once on the evidence, then on resamples of it."""
    small = _thin(evidence, _MAX_ROWS, seed)
    fits = resample(_thin(small, _MAX_ROWS // 2, seed), group, n_resamples=_N_RESAMPLES, seed=seed)
    return [fit_two_groups(small), *fits]


def _thin(evidence: Evidence, n_rows: int, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 6])
    keep = np.sort(rng.permutation(len(evidence.observed))[:n_rows])
    null = np.sort(rng.permutation(len(evidence.planted))[:n_rows])
    return Evidence(
        evidence.names, evidence.observed[keep], evidence.pair[keep], evidence.planted[null]
    )


def _columns(
    fit_set: FitSet, fitted: CrossFit, inside: Evidence, fits: list[TwoGroups]
) -> dict[str, Floats]:
    """Return every number the table shows of the fit pairs."""
    n = len(fit_set.pairs)
    columns = {name: values[:n] for name, values in signal_columns(fitted.held_out).items()}
    columns["crcl_label"] = np.nanmean([run.label for run in fitted.observed], axis=0)
    columns["crcl_match_probability"] = np.nanmean([run.match for run in fitted.observed], axis=0)
    draws = np.stack([fit.p_mismatch(inside.observed) for fit in fits])
    p = _mean_by_pair(inside.pair, draws[0][:, None], n)[:, 0]
    low, high = _interval(inside.pair, draws, n)
    columns |= {"p_mismatch": p, "p_low": np.minimum(low, p), "p_high": np.maximum(high, p)}
    return columns


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
    inside: Evidence, fitted: CrossFit, fits: list[TwoGroups], p: Floats, seed: int
) -> dict[str, object]:
    share = share_interval(fits[0], fits[1:])
    check = _self_check(inside, seed)
    separable = check["auroc"] >= _LEAST_CHECK_AUROC
    return {
        "estimated_noise_rate": share.estimate,
        "noise_rate_low": share.low,
        "noise_rate_high": share.high,
        "self_check": check,
        "separable": separable,
        "banner": ""
        if separable
        else "Planted mismatches cannot be told from the pairs: p_mismatch means nothing here.",
        "assumption": "mismatches look like captions drawn at random from the same shards",
        "heads": "trained" if fitted.is_trained else "start",
        "start_auroc": fitted.start_auroc,
        "heads_auroc": fitted.heads_auroc,
        "ridge": fitted.ridge,
        "n_fit": len(p),
    }


def _self_check(inside: Evidence, seed: int) -> dict[str, float]:
    """Score planted mismatches that the calibration did not see.

    The observed pairs they are compared with hold mismatches of their own; the AUROC is
    corrected for the estimated share of these.
    """
    rng = np.random.default_rng([seed, 7])
    order = rng.permutation(len(inside.planted))
    n_check = max(1, round(_CHECK_SHARE * len(order)))
    rest = Evidence(inside.names, inside.observed, inside.pair, inside.planted[order[n_check:]])
    fit = fit_two_groups(_thin(rest, _MAX_ROWS // 2, seed))
    planted = fit.p_mismatch(inside.planted[order[:n_check]])
    observed = fit.p_mismatch(inside.observed)
    truth = np.append(np.ones(n_check), np.zeros(len(observed)))
    auroc = float(roc_auc_score(truth, np.append(planted, observed)))
    flagged = observed[observed >= 0.5]
    return {
        "n_planted": n_check,
        "auroc": min(1.0, (auroc - fit.share / 2) / (1 - fit.share)),
        "recall_at_half": float(np.mean(planted >= 0.5)),
        "precision_at_half": float(flagged.mean()) if len(flagged) else 1.0,
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
    names = ("p_mismatch", "p_low", "p_high", "crcl_label", "crcl_match_probability")
    empty = {name: np.zeros(0, np.float32) for name in names}
    bank = draw_bank(pairs, config.bank, seed=seed)
    columns = empty | {name: np.zeros(0, np.float32) for name in signal_columns(_no_scores())}
    return AuditModel(
        encoder=card,
        seed=seed,
        temperature=config.heads.temperature,
        heads=(heads,),
        bank=bank,
        deciding=TRAINED_NAMES,
        outside=(),
        table=FitTable(nothing, nothing, columns, np.zeros((0, len(TRAINED_NAMES)), np.float32)),
        summary={
            "separable": False,
            "banner": f"{len(pairs)} pairs are too few to fit ({config.min_pairs} are needed): "
            "similarity is the encoder's own, and there is no p_mismatch.",
            "n_fit": 0,
        },
        config=as_plain(config),
    )


def _no_scores() -> BankScores:
    empty = np.zeros(0, np.float32)
    return BankScores(**dict.fromkeys(BankScores.__dataclass_fields__, empty))
