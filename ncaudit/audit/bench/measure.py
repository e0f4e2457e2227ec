"""From scores and the truth to a row of the table, with what its plots need."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ncaudit.audit.bench.methods import Method
from ncaudit.audit.noise.plant import Noisy
from ncaudit.calibration.metrics import (
    brier_score,
    expected_calibration_error,
    precision_at_k,
    recall_at_precision,
    reliability_table,
)
from ncaudit.calibration.ranking import curves, resample_images, weighted_ranking
from ncaudit.types import Bools, Floats, Ints

N_RESAMPLES = 200
_GRID = np.linspace(0, 1, 51)
_PRECISION = 0.95


@dataclass(frozen=True, eq=False)
class Yardstick:
    """The truth about noisy pairs, and bootstrap samples of their images.

    Attributes:
        noisy: Pairs and the truth.
        seed: Of the bootstrap.
    """

    noisy: Noisy
    seed: int

    @cached_property
    def weights(self) -> Floats:
        """Bootstrap weights of the pairs, the first row all ones, shape (1 + r, n)."""
        _, image = np.unique(self.noisy.pairs.image_id, return_inverse=True)
        samples = resample_images(image, n_resamples=N_RESAMPLES, seed=self.seed)
        return np.concatenate([np.ones((1, samples.shape[1]), np.float32), samples])

    def row(self, method: Method) -> dict[str, Any]:
        """Return the row of a method, JSON-ready; None where a number has no meaning."""
        score, truth, at = self._reported(method)
        found: dict[str, Any] = {
            "method": method.name,
            "kind": method.kind,
            "n_pairs": len(score),
            **self._ranking(score, truth, at),
            "f1_at_half": None,
            "ece": None,
            "brier": None,
            "estimated_rate": method.estimated_rate,
            "seconds": round(method.seconds, 3),
        }
        if method.is_probability:
            found["f1_at_half"] = _f1(score >= 0.5, truth)
            found["ece"] = float(expected_calibration_error(score, truth))
            found["brier"] = float(brier_score(score, truth))
        return found

    def plotted(self, method: Method) -> dict[str, Any]:
        """Return what the plots need of a method: curves, and a reliability table."""
        score, truth, _ = self._reported(method)
        found: dict[str, Any] = {}
        if truth.any() and not truth.all():
            points = curves(score, truth, _GRID)
            names = ("false_positive_rate", "true_positive_rate", "recall", "precision")
            found |= {name: _rounded(getattr(points, name)) for name in names}
        if method.is_probability:
            table = [each for each in reliability_table(score, truth) if each.n_pairs]
            found["reliability"] = [
                [each.n_pairs, each.mean_p, each.mismatch_rate] for each in table
            ]
        return found

    def _reported(self, method: Method) -> tuple[Floats, Bools, Ints]:
        at = np.arange(len(method.score)) if method.rows is None else method.rows
        return method.score[at].astype(np.float64), self.noisy.is_mismatch[at], at

    def _ranking(self, score: Floats, truth: Bools, at: Ints) -> dict[str, float | None]:
        names = ("auroc", "auroc_low", "auroc_high", "ap", "ap_low", "ap_high")
        if not truth.any() or truth.all():
            return dict.fromkeys((*names, "precision_at_k", "recall_at_95"))
        whole = len(at) == self.weights.shape[1]
        weights = self.weights if whole else self.weights[:, at]
        ranking = weighted_ranking(score, truth, weights)
        values = [*_interval(ranking.auroc), *_interval(ranking.average_precision)]
        return {
            **dict(zip(names, values, strict=True)),
            "precision_at_k": precision_at_k(score, truth, k=int(truth.sum())),
            "recall_at_95": recall_at_precision(score, truth, precision=_PRECISION),
        }


def _interval(values: Floats) -> tuple[float, float, float]:
    """Return the value itself, and 2.5 and 97.5 % of its resamples."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return float(values[0]), float(low), float(high)


def _f1(flagged: Bools, truth: Bools) -> float | None:
    total = int(flagged.sum()) + int(truth.sum())
    return 2 * int((flagged & truth).sum()) / total if total else None


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 4) for value in values]
