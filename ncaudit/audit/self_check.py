"""The self-check: how well a model finds mismatches that its calibration has not seen."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from ncaudit.calibration.two_groups import Evidence, fit_two_groups
from ncaudit.types import Floats

_CHECK_SHARE = 0.25  # of the planted pairs, kept from the calibration
_EDGES = np.linspace(0.0, 1.0, 11)


def thinned(evidence: Evidence, n_rows: int, seed: int) -> Evidence:
    """Return a seeded sample of the rows, at most `n_rows` observed and planted each."""
    rng = np.random.default_rng([seed, 6])
    keep = np.sort(rng.permutation(len(evidence.observed))[:n_rows])
    null = np.sort(rng.permutation(len(evidence.planted))[:n_rows])
    return Evidence(
        evidence.names, evidence.observed[keep], evidence.pair[keep], evidence.planted[null]
    )


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """How a model did on planted mismatches that its calibration had not seen.

    Attributes:
        n_planted: How many these were.
        auroc: Of telling them from matched pairs.
        recall_at_half: Share of them with `p_mismatch >= 0.5`.
        precision_at_half: Mean `p_mismatch` of the pairs with 0.5 or more.
        reliability: For bins of `p_mismatch` how many pairs are there, their mean, and the
            share of mismatches among them that the planted pairs suggest.
    """

    n_planted: int
    auroc: float
    recall_at_half: float
    precision_at_half: float
    reliability: list[dict[str, float]]


def check_itself(evidence: Evidence, *, n_rows: int, seed: int) -> SelfCheck:
    """Score planted mismatches that the calibration did not see.

    The observed pairs they are compared with hold mismatches of their own; the AUROC is
    corrected for the estimated share of these.

    Args:
        evidence: Signals of observed and planted pairs.
        n_rows: Rows that the calibration is fitted on, at most.
        seed: Decides which planted pairs are held out.
    """
    rng = np.random.default_rng([seed, 7])
    order = rng.permutation(len(evidence.planted))
    n_check = max(1, round(_CHECK_SHARE * len(order)))
    kept = evidence.planted[order[n_check:]]
    rest = Evidence(evidence.names, evidence.observed, evidence.pair, kept)
    fit = fit_two_groups(thinned(rest, n_rows, seed))
    planted = fit.p_mismatch(evidence.planted[order[:n_check]])
    n_pairs = int(evidence.pair.max()) + 1
    count = np.bincount(evidence.pair, minlength=n_pairs)
    sums = np.bincount(evidence.pair, fit.p_mismatch(evidence.observed), n_pairs)
    observed: Floats = sums[count > 0] / count[count > 0]
    truth = np.append(np.ones(n_check), np.zeros(len(observed)))
    auroc = float(roc_auc_score(truth, np.append(planted, observed)))
    flagged = observed[observed >= 0.5]
    return SelfCheck(
        n_planted=n_check,
        auroc=min(1.0, (auroc - fit.share / 2) / (1 - fit.share)),
        recall_at_half=float(np.mean(planted >= 0.5)),
        precision_at_half=float(flagged.mean()) if len(flagged) else 1.0,
        reliability=_reliability(observed, planted, fit.share),
    )


def _reliability(observed: Floats, planted: Floats, share: float) -> list[dict[str, float]]:
    """Compare `p_mismatch` with the share of mismatches that planted pairs suggest.

    Where mismatches are distributed as planted pairs are, a bin that holds a share f0 of
    the planted and f of the observed pairs holds mismatches at a rate of `share` f0 / f.
    """
    n_planted, _ = np.histogram(planted, _EDGES)
    n_observed, _ = np.histogram(observed, _EDGES)
    sums, _ = np.histogram(observed, _EDGES, weights=observed)
    return [
        {
            "low": float(_EDGES[at]),
            "high": float(_EDGES[at + 1]),
            "n_pairs": int(n),
            "mean_p": float(sums[at] / n),
            "mismatch_rate": float(
                min(1.0, share * (n_planted[at] / len(planted)) / (n / len(observed)))
            ),
        }
        for at, n in enumerate(n_observed)
        if n
    ]
