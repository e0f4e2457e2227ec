"""Self-refining correspondence correction: how soft labels of the pairs are updated.

Separate from the training loop: plain arrays, so the schedule can be followed by hand.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from ncaudit.matching.mixture import split_by_gaussians
from ncaudit.types import Floats

_LEAST_PROBABILITY = 1e-7  # ln p is not taken below this
_ROUNDING = 1e-5  # how far float32 softmax means may be outside [0, 1]


def refine_correspondence(
    previous: Floats, match_probability: Floats, *, momentum: float = 0.8, floor: float = 0.1
) -> Floats:
    """Blend last epoch's correspondence labels with what the model now believes.

    One momentum step of SCC, then the hard floor of the authors' code: a label under
    `floor` becomes 0, and can recover on a later call.

    Args:
        previous: Correspondence labels y in [0, 1], shape (n,). 1 is matched.
        match_probability: Mean of image-to-text and text-to-image softmax at the pair,
            p in [0, 1], shape (n,).
        momentum: Weight of `previous`, in [0, 1]; beta in the paper.
        floor: Labels strictly below this become 0. Pass 0 to switch it off.

    Returns:
        New labels in [0, 1], shape (n,), dtype of `previous`; inputs are unchanged.

    Raises:
        ValueError: If `momentum` or a value is outside [0, 1], or the shapes differ.

    Source:
        Qin et al., NeurIPS 2023, arXiv:2310.17468 (SCC). Checked by reading
        QinYang79/CRCL@3d25013, model/CRCL.py `train_self`; not copied.

    Differs from the source:
        The warm-up freeze is in `SccSchedule`.
    """
    if previous.shape != match_probability.shape:
        raise ValueError(f"{previous.shape} labels, but {match_probability.shape} probabilities")
    _check_momentum(momentum)
    _check_unit_interval(previous, "previous")
    _check_unit_interval(match_probability, "match_probability")
    blended = momentum * previous + (1.0 - momentum) * match_probability
    return _apply_floor(blended, floor).astype(previous.dtype)


class LabelPhase(StrEnum):
    """What happens to the labels in one epoch."""

    FROZEN = "frozen"  # used and kept as they are, but for the floor
    INITIALISED = "initialised"  # used as they are; the match probabilities take their place
    BLENDED = "blended"  # used and kept after a momentum step


class LabelUpdate(NamedTuple):
    """Labels of one epoch.

    Attributes:
        use: Labels for this epoch's loss, shape (n,).
        store: Labels to carry to the next epoch, shape (n,).
    """

    use: Floats
    store: Floats


@dataclass(frozen=True, slots=True)
class SccSchedule:
    """When labels are frozen, initialised and blended.

    Training is a sequence of pieces. Every piece starts from fresh weights and warms up
    with frozen labels; the labels themselves are carried from piece to piece.

    Attributes:
        pieces: Number of epochs with blending in every piece.
        warmup: Number of epochs with frozen labels at the start of every piece.
        momentum: Weight of the previous label, in [0, 1]; beta in the paper.
        floor: Labels strictly below this become 0.

    Raises:
        ValueError: If a number is out of range.

    Source:
        See `refine_correspondence`.
    """

    pieces: tuple[int, ...]
    warmup: int = 2
    momentum: float = 0.8
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not self.pieces or min(self.pieces) < 0 or self.warmup < 0:
            raise ValueError("pieces must not be empty, and no number of epochs negative")
        _check_momentum(self.momentum)

    def n_epochs(self, piece: int) -> int:
        """Return the number of epochs of a piece, warm-up included."""
        return self.pieces[piece] + self.warmup

    def phase(self, *, piece: int, epoch: int) -> LabelPhase:
        """Return what happens to the labels in an epoch of a piece, both counted from 0."""
        if epoch >= self.warmup:
            return LabelPhase.BLENDED
        if piece == 0 and epoch == self.warmup - 1:
            return LabelPhase.INITIALISED
        return LabelPhase.FROZEN

    def update(
        self, stored: Floats, match_probability: Floats, *, piece: int, epoch: int
    ) -> LabelUpdate:
        """Return the labels to use and to store for some pairs in an epoch.

        Args:
            stored: Labels in [0, 1] so far, shape (n,); 1 at the very start.
            match_probability: p of this epoch, in [0, 1], shape (n,).
            piece: Counted from 0.
            epoch: Counted from 0 in its piece.

        Returns:
            Labels with the dtype of `stored`. The initialised ones are stored without the
            floor, as in the authors' code; it is applied whenever they are used.

        Raises:
            ValueError: As `refine_correspondence`.
        """
        phase = self.phase(piece=piece, epoch=epoch)
        # Full momentum leaves the labels alone, but for the floor.
        momentum = self.momentum if phase is LabelPhase.BLENDED else 1.0
        use = refine_correspondence(stored, match_probability, momentum=momentum, floor=self.floor)
        if phase is LabelPhase.INITIALISED:
            return LabelUpdate(use, match_probability.clip(0.0, 1.0).astype(stored.dtype))
        return LabelUpdate(use, use)


def guarded_labels(match_probability: Floats, *, guard: float = 0.2, seed: int = 0) -> Floats:
    """Return the first labels of a warmed-up model: p, unless the model hardly believes in any.

    Under very large noise p is low for right pairs as well, and momentum would zero them.
    Then what counts is which of two kinds of ln p a pair belongs to.

    Args:
        match_probability: p in [0, 1], shape (n,).
        guard: Below this mean of p the mixture's posterior is taken; 0 switches it off.
        seed: Of the mixture.

    Returns:
        Labels in [0, 1], shape and dtype of `match_probability`. Also p if there are fewer
        than 4 pairs or one Gaussian explains them as well as two.

    Source:
        Ours; the mixture is that of `split_by_gaussians`.
    """
    if match_probability.size < 4 or match_probability.mean() >= guard:
        return match_probability
    split = split_by_gaussians(np.log(match_probability.clip(_LEAST_PROBABILITY)), seed=seed)
    if not split.separated:
        return match_probability
    return (1.0 - split.p_low).clip(0.0, 1.0).astype(match_probability.dtype)


def _apply_floor(labels: Floats, floor: float) -> Floats:
    floored: Floats = np.where(labels < floor, 0.0, labels.clip(0.0, 1.0))
    return floored


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be in [0, 1], not {momentum}")


def _check_unit_interval(values: Floats, name: str) -> None:
    if not ((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all():
        raise ValueError(f"{name} must be in [0, 1]")
