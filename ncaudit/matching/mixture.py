"""Are there two kinds of scores at all: one Gaussian or two, by BIC.

Separate, because the answer may be no: a mixture splits scores of one kind too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit.types import Floats

_MAX_ITERATIONS = 500


@dataclass(frozen=True, slots=True, eq=False)
class GaussianSplit:
    """Two Gaussians fitted to scores, and whether one would have done.

    Attributes:
        p_low: Probability that a score belongs to the component of the lower mean, shape
            (n,); 0.5 if all scores are equal.
        separated: True if BIC prefers two components.
        low_share: Weight of the component of the lower mean.
        means: Means of the components, ascending.
        bic_gain: BIC of one component minus that of two, in nats per pair.
    """

    p_low: Floats
    separated: bool
    low_share: float
    means: tuple[float, float]
    bic_gain: float


def split_by_gaussians(
    scores: Floats, *, seed: int = 0, n_starts: int = 5, regularisation: float = 5e-4
) -> GaussianSplit:
    """Fit two Gaussians to scores and test them against one.

    BIC also prefers two for scores of one kind that are skewed: `separated` is needed for
    a split to mean something, not enough.

    Args:
        scores: Finite scores, shape (n,), n >= 4; transform long tails first (log, ranks).
        seed: Of the starts.
        n_starts: Starts of the fit, of which the best is taken.
        regularisation: Added to the variances, as a share of the variance of the scores.

    Returns:
        The split. With unequal variances, scores far out on either side may belong to the
        wider component.

    Raises:
        ValueError: If there are fewer than 4 scores or some are not finite.

    Source:
        Li et al., ICLR 2020, arXiv:2002.07394 (DivideMix), as used by NCR (Huang et al.,
        NeurIPS 2021), which always splits. BIC: Schwarz, Annals of Statistics 1978.

    Differs from the source:
        Standardised scores, several starts, and a test against one component.
    """
    if scores.size < 4 or not np.isfinite(scores).all():
        raise ValueError("4 finite scores are needed at least")
    values = scores.astype(np.float64)
    centre, scale = float(values.mean()), float(values.std())
    if scale <= 1e-12 * max(1.0, abs(centre)):
        half = np.full(values.shape, 0.5)
        return GaussianSplit(half, False, 0.5, (centre, centre), 0.0)  # noqa: FBT003
    column = ((values - centre) / scale)[:, None]
    one, two = (
        _fitted(column, n_components, seed, n_starts, regularisation) for n_components in (1, 2)
    )
    order = np.argsort(two.means_[:, 0])
    low_mean, high_mean = (centre + scale * two.means_[order, 0]).tolist()
    gain = float(one.bic(column) - two.bic(column))
    return GaussianSplit(
        p_low=two.predict_proba(column)[:, order[0]],
        separated=gain > 0,
        low_share=float(two.weights_[order[0]]),
        means=(low_mean, high_mean),
        bic_gain=gain / values.size,
    )


def _fitted(
    column: Floats, n_components: int, seed: int, n_starts: int, regularisation: float
) -> Any:
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        n_components,
        tol=1e-4,
        reg_covar=regularisation,
        max_iter=_MAX_ITERATIONS,
        n_init=n_starts,
        random_state=seed,
    )
    return mixture.fit(column)
