"""Calibrations as JSON, and back."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ncaudit.calibration.labelled import Columns, LabelledCalibration, LabelledMethod
from ncaudit.calibration.labelled_quality import LabelQuality
from ncaudit.calibration.local_fdr import NullShare
from ncaudit.calibration.logistic import NonNegativeLogistic
from ncaudit.calibration.monotone import MonotoneModel
from ncaudit.calibration.normal_scores import NormalScores
from ncaudit.calibration.two_groups import TwoGroups
from ncaudit.types import Floats


def two_groups_json(fit: TwoGroups) -> dict[str, Any]:
    """Return a label-free calibration as JSON has it."""
    return {
        "names": list(fit.names),
        "centre": fit.centre.tolist(),
        "scale": fit.scale.tolist(),
        "knots": fit.model.knots.tolist(),
        "slopes": fit.model.slopes.tolist(),
        "bias": fit.model.bias,
        "share": fit.share,
    }


def two_groups_of(stored: dict[str, Any]) -> TwoGroups:
    """Return what `two_groups_json` stored."""
    return TwoGroups(
        names=tuple(stored["names"]),
        centre=np.array(stored["centre"]),
        scale=np.array(stored["scale"]),
        model=MonotoneModel(np.array(stored["knots"]), np.array(stored["slopes"]), stored["bias"]),
        share=stored["share"],
    )


def labelled_json(fit: LabelledCalibration | None) -> dict[str, Any] | None:
    """Return a calibration on verdicts as JSON has it."""
    if fit is None:
        return None
    scores = fit.columns.signals
    return {
        "method": str(fit.method),
        "n_match": fit.n_match,
        "n_mismatch": fit.n_mismatch,
        "quality": asdict(fit.quality) if fit.quality else None,
        "quality_label_free": asdict(fit.quality_label_free) if fit.quality_label_free else None,
        "noise_rate": asdict(fit.noise_rate) if fit.noise_rate else None,
        "knots": _lists(scores.knots) if scores else None,
        "scores": _lists(scores.scores) if scores else None,
        "edges": list(fit.columns.edges) if scores else None,
        "models": [[each.slopes.tolist(), each.offset] for each in fit.models],
    }


def labelled_of(stored: dict[str, Any] | None) -> LabelledCalibration | None:
    """Return what `labelled_json` stored."""
    if stored is None:
        return None
    columns = Columns(None)
    if stored["knots"] is not None:
        scores = NormalScores(_arrays(stored["knots"]), _arrays(stored["scores"]))
        low, high = stored["edges"]
        columns = Columns(scores, edges=(low, high))
    quality, label_free = stored["quality"], stored["quality_label_free"]
    return LabelledCalibration(
        method=LabelledMethod(stored["method"]),
        n_match=stored["n_match"],
        n_mismatch=stored["n_mismatch"],
        quality=LabelQuality(**quality) if quality else None,
        quality_label_free=LabelQuality(**label_free) if label_free else None,
        noise_rate=NullShare(**stored["noise_rate"]) if stored["noise_rate"] else None,
        columns=columns,
        models=tuple(NonNegativeLogistic(np.array(s), float(b)) for s, b in stored["models"]),
    )


def _lists(arrays: tuple[Floats, ...]) -> list[list[float]]:
    return [each.tolist() for each in arrays]


def _arrays(lists: list[list[float]]) -> tuple[Floats, ...]:
    return tuple(np.array(each, np.float64) for each in lists)
