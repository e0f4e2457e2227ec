"""What the closed-form start alone says of each pair, out of fold: the floor of every method."""

from dataclasses import dataclass

import numpy as np

from ncaudit.config import FitConfig
from ncaudit.matching.bank import draw_bank, score_against_bank
from ncaudit.matching.folds import assign_folds, group_rows
from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import Moments, moments_of
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.start import ridge_cca, shared_rotation
from ncaudit.types import Floats

_RIDGE = 1.0  # the mean variance of each tower


@dataclass(frozen=True, slots=True, eq=False)
class StartScores:
    """Scores by the start of the other folds; low speaks for a mismatch.

    Attributes:
        similarity: Cosine in the space of the start, shape (n,).
        neg_clip_loss: Against reference banks, shape (n,).
    """

    similarity: Floats
    neg_clip_loss: Floats


def start_scores(pairs: Pairs, config: FitConfig, *, aligned: bool, seed: int) -> StartScores:
    """Fit the start once per fold on the other folds and score the fold with it.

    Unaligned towers: ridge CCA. Aligned towers:
    centring and one shared rotation.
    """
    n_folds = config.heads.folds
    fold = assign_folds(group_rows(pairs.image_id), n_folds=n_folds, seed=seed)
    bank = draw_bank(len(pairs), config.bank, seed=seed).of(pairs)
    rows_of = [np.flatnonzero(fold == each) for each in range(n_folds)]
    moments = [moments_of(pairs.take(rows), aligned=aligned) for rows in rows_of]
    total = sum(moments[1:], moments[0])
    similarity, loss = np.empty(len(pairs)), np.empty(len(pairs))
    for rows, own in zip(rows_of, moments, strict=True):
        heads = _start(total - own, config, aligned=aligned)
        scores = score_against_bank(
            heads, pairs.take(rows), bank, temperature=config.heads.temperature
        )
        similarity[rows], loss[rows] = scores.similarity, scores.neg_clip_loss
    return StartScores(similarity, loss)


def _start(moments: Moments, config: FitConfig, *, aligned: bool) -> Heads:
    if aligned:
        return shared_rotation(moments, dim=len(moments.image))
    return ridge_cca(moments, dim=config.heads.dim, ridge=_RIDGE)
