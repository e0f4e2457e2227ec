"""Probabilities after people's verdicts, inside the fit and for pairs outside it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import logit

from ncaudit.audit.judged import Judged
from ncaudit.calibration.labelled import LabelledCalibration, Verdicts, fit_labelled
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Floats

_EDGE = 1e-9  # of a probability, before its log odds


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Signals of the fit pairs, and what the label-free calibration makes of them.

    Attributes:
        values: High for a mismatch, shape (n, s).
        p_mismatch: Label-free, shape (n,).
    """

    values: Floats
    p_mismatch: Floats

    @property
    def log_odds(self) -> Floats:
        """Log odds of a mismatch, finite, shape (n,)."""
        return log_odds_of(self.p_mismatch)


@dataclass(frozen=True, slots=True, eq=False)
class Recalibrated:
    """What verdicts change.

    Attributes:
        columns: `p_mismatch`, `p_low` and `p_high` of the fit pairs; empty if the verdicts
            were too few.
        outside: Calibration of pairs outside the fit, or None as above.
        about: How verdicts were used and what they say of the probabilities, JSON-ready.
        noise_rate: Estimate, low and high end; None as above.
    """

    columns: dict[str, Floats]
    outside: LabelledCalibration | None
    about: dict[str, Any]
    noise_rate: tuple[float, float, float] | None


def recalibrate(
    judged: Judged, pairs: Pairs, inside: Signals, outside: Signals, *, seed: int
) -> Recalibrated:
    """Calibrate on verdicts.

    Args:
        judged: The verdicts; those on pairs outside the fit are not used.
        pairs: The fit pairs, n of them.
        inside: Their signals, those of training included.
        outside: Their signals that every pair has.
        seed: Of the resamples.
    """
    verdicts = _verdicts(judged, pairs)
    found = fit_labelled(inside.values, inside.log_odds, verdicts, seed=seed)
    about = {
        "method": str(found.method),
        "n_match": found.n_match,
        "n_mismatch": found.n_mismatch,
        "n_outside_fit": int((judged.rows_in(pairs) < 0).sum()),
        "quality": asdict(found.quality) if found.quality else None,
        "quality_label_free": asdict(found.quality_label_free)
        if found.quality_label_free
        else None,
    }
    interval = found.interval(inside.values, inside.log_odds)
    if interval is None or found.noise_rate is None:
        return Recalibrated({}, None, about, None)
    p = found.p_mismatch(inside.values, inside.log_odds)
    share = found.noise_rate
    return Recalibrated(
        {"p_mismatch": p, "p_low": interval[0], "p_high": interval[1]},
        fit_labelled(outside.values, outside.log_odds, verdicts, seed=seed),
        about,
        (share.estimate, share.low, share.high),
    )


def said_by_people(summary: dict[str, Any], changed: Recalibrated) -> dict[str, Any]:
    """Return the summary of a fit after verdicts.

    Where these decided, the warning about what the label-free probability assumes is gone.
    """
    said = summary | {"verdicts": changed.about}
    if changed.noise_rate is None:
        return said
    estimate, low, high = changed.noise_rate
    return said | {
        "estimated_noise_rate": estimate,
        "noise_rate_low": low,
        "noise_rate_high": high,
        "separable": True,
        "banner": "",
        "assumption": "the judged pairs were drawn with the chances their weights tell",
    }


def log_odds_of(p: Floats) -> Floats:
    """Return the log odds of probabilities, kept finite, shape (n,)."""
    odds: Floats = logit(np.clip(p, _EDGE, 1.0 - _EDGE))
    return odds


def _verdicts(judged: Judged, pairs: Pairs) -> Verdicts:
    rows = judged.rows_in(pairs)
    # Of pairs that are equal in image and caption, one verdict is enough.
    _, first = np.unique(rows, return_index=True)
    first = first[rows[first] >= 0]
    return Verdicts(
        rows=rows[first], is_mismatch=judged.is_mismatch[first], weight=judged.weight[first]
    )
