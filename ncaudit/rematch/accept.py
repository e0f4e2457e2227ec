"""Which proposals are good enough to act on; all others are shown and left alone."""

import numpy as np

from ncaudit.config import RematchConfig
from ncaudit.rematch.propose import Proposals
from ncaudit.types import Bools, Floats


def accept(proposals: Proposals, p_mismatch: Floats, config: RematchConfig) -> Bools:
    """Tell which proposals to accept, shape (n,).

    An accepted one has the confidence and the transported mass that `config` asks for, is
    mutual, is strictly ahead of the image's other candidates, and is no likely mismatch
    itself. A caption is accepted once: the most confident image has it, then the first.

    Args:
        proposals: Proposals of n flagged pairs.
        p_mismatch: Of the proposed pairs, NaN where there is none, shape (n,).
        config: Bars.
    """
    good = proposals.donor >= 0
    good &= proposals.mutual & (proposals.margin > 0)
    good &= np.nan_to_num(proposals.confidence, nan=-1.0) >= config.accept_confidence
    good &= np.nan_to_num(proposals.mass, nan=-1.0) >= config.accept_mass
    good &= np.nan_to_num(p_mismatch, nan=1.0) < config.accept_p
    rows = np.flatnonzero(good)
    rows = rows[np.argsort(-proposals.confidence[rows], kind="stable")]
    first = np.unique(proposals.donor[rows], return_index=True)[1]
    accepted = np.zeros(len(good), bool)
    accepted[rows[first]] = True
    return accepted
