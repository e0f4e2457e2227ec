"""Calibration from people's verdicts, when there are enough of them.

The label-free calibration assumes that mismatches look like captions drawn at random.
Where they do not, ranks survive and probabilities do not; a few hundred verdicts on pairs
drawn with known chances put them right.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import expit

from ncaudit.calibration.labelled_quality import LabelQuality, label_quality
from ncaudit.calibration.local_fdr import NullShare
from ncaudit.calibration.logistic import NonNegativeLogistic, Prior, fit_nonnegative_logistic
from ncaudit.calibration.normal_scores import NormalScores, fit_normal_scores
from ncaudit.types import Bools, Floats, Ints

LEAST_LABELS = 50  # with fewer the label-free probability stays as it is
LEAST_FOR_SIGNALS = 200
LEAST_OF_A_CLASS = 30
N_FOLDS = 5

_TAIL = 0.005  # of the log odds on either side, which count as its edge
_PENALTY = 1.0  # slopes are a standard deviation of 1 around the label-free model's


class LabelledMethod(StrEnum):
    """How the verdicts were used."""

    UNCHANGED = "unchanged"
    PLATT = "platt"
    SIGNALS = "signals"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdicts:
    """What people decided about some pairs.

    Attributes:
        rows: Row of each verdict among all pairs, shape (m,).
        is_mismatch: The verdict, shape (m,).
        weight: One over the chance with which the pair was drawn for a decision, >= 0,
            in any unit, shape (m,). A verdict of weight 0 counts as not given.
    """

    rows: Ints
    is_mismatch: Bools
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledCalibration:
    """A calibration that people's verdicts decided, or the note that they were too few.

    Attributes:
        method: How the verdicts were used.
        n_match: Verdicts that say match.
        n_mismatch: Verdicts that say mismatch.
        quality: On the verdicts, each judged by a fit without it; None if unchanged.
        quality_label_free: Of the label-free probability, on the same verdicts.
        noise_rate: Mean probability over all pairs with the 10 to 90 % interval of refits
            on resampled verdicts; None if unchanged.
        columns: Turns signals and log odds into the columns of the models.
        models: The fit, then the refits on resampled verdicts; empty if unchanged.
    """

    method: LabelledMethod
    n_match: int
    n_mismatch: int
    quality: LabelQuality | None
    quality_label_free: LabelQuality | None
    noise_rate: NullShare | None
    columns: "Columns"
    models: tuple[NonNegativeLogistic, ...]

    def p_mismatch(self, signals: Floats, log_odds: Floats) -> Floats:
        """Return P(mismatch) in [0, 1], shape (n,), rising with every argument.

        Args:
            signals: In the units given to the fit, shape (n, s).
            log_odds: Label-free log odds of a mismatch, shape (n,).

        Raises:
            ValueError: If the shapes do not fit or a value is not finite.
        """
        _check(signals, log_odds)
        if not self.models:
            unchanged: Floats = expit(log_odds)
            return unchanged
        p: Floats = expit(self.models[0].score(self.columns.of(signals, log_odds)))
        return p

    def interval(self, signals: Floats, log_odds: Floats) -> tuple[Floats, Floats] | None:
        """Return the 10 and 90 % ends of the refits' probabilities, each of shape (n,).

        The interval holds `p_mismatch`. None if the verdicts changed nothing: then the
        label-free interval stays.
        """
        _check(signals, log_odds)
        if not self.models:
            return None
        columns = self.columns.of(signals, log_odds)
        p = np.stack([expit(model.score(columns)) for model in self.models])
        low, high = np.quantile(p, [0.1, 0.9], axis=0)
        return np.minimum(low, p[0]), np.maximum(high, p[0])


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What the regressions see: the log odds, and the signals where there are labels enough.

    Attributes:
        signals: Normal scores of the signals; None leaves the log odds alone, as they are.
        edges: Range of the log odds beyond which they count as its ends.
    """

    signals: NormalScores | None
    edges: tuple[float, float] = (-np.inf, np.inf)

    def of(self, signals: Floats, log_odds: Floats) -> Floats:
        """Return the columns, shape (n, 1) or (n, s + 1), each rising with its source."""
        odds = np.clip(log_odds, *self.edges)
        if self.signals is None:
            return odds[:, None]
        return np.column_stack([self.signals.at(signals), odds])


def fit_labelled(
    signals: Floats,
    log_odds: Floats,
    verdicts: Verdicts,
    *,
    seed: int = 0,
    n_resamples: int = 32,
) -> LabelledCalibration:
    """Calibrate on verdicts, with as many parameters as these can bear.

    With 200 verdicts or more and 30 of each kind, a logistic model with a slope >= 0 for
    every signal and for the label-free log odds, shrunk toward these log odds alone. With 50 or more, Platt scaling of the
    log odds. With fewer, nothing changes.

    Args:
        signals: Of all pairs, high for a mismatch, finite, shape (n, s). Units do not
            matter: only ranks among all pairs do.
        log_odds: Label-free log odds of a mismatch of all pairs, finite, shape (n,).
        verdicts: What people decided.
        seed: Of the folds and the resamples.
        n_resamples: Refits for the intervals.

    Returns:
        The calibration. Judged pairs get the model's probability too, not 0 or 1.

    Raises:
        ValueError: If shapes do not fit, a value is not finite, a weight is negative, or
            a row is judged twice or does not exist.

    Source:
        Platt, "Probabilistic outputs for support vector machines", 1999; weights of one
        over the chance of being drawn: Horvitz and Thompson, JASA 1952.
    """
    _check(signals, log_odds)
    _check_verdicts(verdicts, len(log_odds))
    judged = _positive(verdicts)
    method = _method(judged)
    columns = _columns(method, signals, log_odds)
    all_columns = columns.of(signals, log_odds)
    design = all_columns[judged.rows]
    rng = np.random.default_rng([seed, 11])
    models = tuple(_models(method, design, judged, rng, n_resamples))
    label_free = expit(log_odds[judged.rows])
    out_of_fold = _out_of_fold(method, design, judged, rng) if models else None
    return LabelledCalibration(
        method=method,
        n_match=int((~judged.is_mismatch).sum()),
        n_mismatch=int(judged.is_mismatch.sum()),
        quality=None if out_of_fold is None else _quality(out_of_fold, judged),
        quality_label_free=_quality(label_free, judged) if len(judged.rows) else None,
        noise_rate=_noise_rate(models, all_columns) if models else None,
        columns=columns,
        models=models,
    )


def _check(signals: Floats, log_odds: Floats) -> None:
    if signals.ndim != 2 or log_odds.shape != (len(signals),):
        raise ValueError(f"{signals.shape} signals for {log_odds.shape} log odds")
    if not (np.isfinite(signals).all() and np.isfinite(log_odds).all()):
        raise ValueError("signals and log odds must be finite")


def _check_verdicts(verdicts: Verdicts, n_pairs: int) -> None:
    rows, weight = verdicts.rows, verdicts.weight
    if rows.ndim != 1 or not rows.shape == verdicts.is_mismatch.shape == weight.shape:
        raise ValueError("every verdict needs a row, a decision and a weight")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("weights must be finite and at least 0")
    if len(np.unique(rows)) < len(rows) or ((rows < 0) | (rows >= n_pairs)).any():
        raise ValueError(f"verdicts must be on different rows among the {n_pairs} pairs")


def _positive(verdicts: Verdicts) -> Verdicts:
    """Leave out weight 0, and order by row, so that the order of decisions is nothing."""
    keep = np.flatnonzero(verdicts.weight > 0)
    keep = keep[np.argsort(verdicts.rows[keep])]
    return Verdicts(
        rows=verdicts.rows[keep],
        is_mismatch=verdicts.is_mismatch[keep],
        weight=verdicts.weight[keep].astype(np.float64),
    )


def _method(judged: Verdicts) -> LabelledMethod:
    n, n_mismatch = len(judged.rows), int(judged.is_mismatch.sum())
    if n < LEAST_LABELS:
        return LabelledMethod.UNCHANGED
    if n < LEAST_FOR_SIGNALS or min(n_mismatch, n - n_mismatch) < LEAST_OF_A_CLASS:
        return LabelledMethod.PLATT
    return LabelledMethod.SIGNALS


def _columns(method: LabelledMethod, signals: Floats, log_odds: Floats) -> Columns:
    if method is not LabelledMethod.SIGNALS:
        return Columns(None)
    low, high = np.quantile(log_odds, [_TAIL, 1.0 - _TAIL])
    return Columns(fit_normal_scores(signals), edges=(float(low), float(high)))


def _prior(method: LabelledMethod, n_columns: int) -> Prior:
    if method is LabelledMethod.PLATT:
        # Standard deviations of 0.5 and 2: the log odds are trusted in shape more than
        # in level, which a wrong noise rate moves by several units.
        return Prior(slopes=np.ones(1), slope_penalty=4.0, offset_penalty=0.25)
    label_free = np.append(np.zeros(n_columns - 1), 1.0)
    return Prior(slopes=label_free, slope_penalty=_PENALTY)


def _fit(
    method: LabelledMethod, design: Floats, judged: Verdicts, rows: Ints
) -> NonNegativeLogistic:
    return fit_nonnegative_logistic(
        design[rows],
        judged.is_mismatch[rows].astype(np.float64),
        judged.weight[rows],
        _prior(method, design.shape[1]),
    )


def _models(
    method: LabelledMethod,
    design: Floats,
    judged: Verdicts,
    rng: np.random.Generator,
    n_resamples: int,
) -> list[NonNegativeLogistic]:
    """Fit once on all verdicts, then on resamples of them."""
    if method is LabelledMethod.UNCHANGED:
        return []
    n = len(judged.rows)
    draws = [np.arange(n), *(rng.integers(0, n, n) for _ in range(n_resamples))]
    return [_fit(method, design, judged, rows) for rows in draws]


def _out_of_fold(
    method: LabelledMethod, design: Floats, judged: Verdicts, rng: np.random.Generator
) -> Floats:
    """Return each verdict's probability from a fit on the other folds' verdicts."""
    n = len(judged.rows)
    shuffled = rng.permutation(n)
    by_class = shuffled[np.argsort(judged.is_mismatch[shuffled], kind="stable")]
    fold = np.empty(n, np.intp)
    fold[by_class] = np.arange(n) % N_FOLDS
    p = np.empty(n)
    for each in range(N_FOLDS):
        held = fold == each
        model = _fit(method, design, judged, np.flatnonzero(~held))
        p[held] = expit(model.score(design[held]))
    return p


def _quality(p: Floats, judged: Verdicts) -> LabelQuality:
    return label_quality(p, judged.is_mismatch, judged.weight)


def _noise_rate(models: tuple[NonNegativeLogistic, ...], columns: Floats) -> NullShare:
    rates = [float(expit(model.score(columns)).mean()) for model in models]
    low, high = np.quantile(rates[1:] or rates, [0.1, 0.9])
    return NullShare(rates[0], min(float(low), rates[0]), max(float(high), rates[0]))
