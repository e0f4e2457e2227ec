"""The baseline of most papers on noisy correspondence: two Gaussians on the loss."""

import warnings

import numpy as np

from ncaudit.types import Floats


def noisy_posterior(loss: Floats, *, seed: int) -> Floats:
    """Return the posterior of the component of higher loss, in [0, 1], shape (n,).

    Args:
        loss: Loss of each observed pair, shape (n,).
        seed: Of the start of the fit.

    Source:
        NCR, Huang et al., NeurIPS 2021: losses scaled to [0, 1], two components, at most 10
        iterations, tolerance 1e-2, regularisation 5e-4.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    span = max(float(np.ptp(loss)), np.finfo(np.float64).tiny)
    column = ((loss.astype(np.float64) - loss.min()) / span)[:, None]
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with warnings.catch_warnings():
        # Ten iterations are the published number, whether or not they are enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(column)
    posterior: Floats = mixture.predict_proba(column)[:, int(mixture.means_.argmax())]
    return posterior
