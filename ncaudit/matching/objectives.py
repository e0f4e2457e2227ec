"""What training minimises on a batch: the CRCL objective, or one in the style of SREM.

Separate from the loop: here a batch's similarities are given, so that every objective can
be held against finite differences.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ncaudit.config import HeadsConfig, SremConfig
from ncaudit.matching.acl import (
    active_complementary_loss,
    active_loss,
    match_log_probabilities,
)
from ncaudit.matching.complementary import ComplementBias, biased_complementary_loss
from ncaudit.matching.energy import energy_margin_loss, row_energy, swapped_weights, uncertainty
from ncaudit.matching.mixture import split_by_gaussians
from ncaudit.matching.soft_margin import hardest_negative_hinge
from ncaudit.types import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class EnergySplit:
    """Which pairs the energies take for clean.

    Attributes:
        is_clean: Shape (n,).
        margins: (m_c, m_n) of the energy loss, relative U, m_c < m_n; None if all pairs are
            of one kind, and there is nothing to push apart.
    """

    is_clean: Bools
    margins: tuple[float, float] | None


def crcl_loss(
    similarity: Tensor, correspondence: Tensor, config: HeadsConfig, *, mask: Tensor | None = None
) -> Tensor:
    """Return y L_d + lambda times the complementary term that `config.complement` names.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b).
        correspondence: Labels y in [0, 1], shape (b,). No gradient flows into them.
        config: Temperature, complement, its bias and weight.
        mask: True where an off-diagonal entry is no candidate, shape (b, b).

    Returns:
        Loss >= 0 of every pair, shape (b,); its mean is the training loss.

    Raises:
        ValueError: As `active_complementary_loss`.

    Source:
        `acl`: see `active_complementary_loss`. `cbcl`: its L_d with the complementary
        learning of `biased_complementary_loss`; the combination is ours.
    """
    if config.complement == "acl":
        return active_complementary_loss(
            similarity,
            correspondence,
            temperature=config.temperature,
            complement_weight=config.complement_weight,
            mask=mask,
        )
    log_p, log_q = match_log_probabilities(similarity, temperature=config.temperature, mask=mask)
    label = correspondence.detach().to(log_p.dtype)
    complement = _complement(similarity, config, mask)
    return label * active_loss(log_p, log_q) + config.complement_weight * complement


def srem_warmup_loss(
    similarity: Tensor, config: HeadsConfig, *, mask: Tensor | None = None
) -> Tensor:
    """Return InfoNCE plus lambda_C times uniform complementary learning, shape (b,).

    Without hard negatives, with which a model that knows nothing collapses.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b).
        config: Temperature and lambda_C.
        mask: True where an off-diagonal entry is no candidate, shape (b, b).

    Source:
        As `srem_loss`.
    """
    log_p, log_q = match_log_probabilities(similarity, temperature=config.temperature, mask=mask)
    complement = biased_complementary_loss(similarity, temperature=config.temperature, mask=mask)
    return active_loss(log_p, log_q) / 2 + config.srem.complement_weight * complement


def srem_loss(
    similarity: Tensor,
    is_clean: Tensor,
    config: HeadsConfig,
    *,
    margins: tuple[float, float] | None,
    mask: Tensor | None = None,
) -> Tensor:
    """Return L_w on clean pairs + lambda_E L_E + lambda_C L_C on all pairs, a scalar.

    L_w is the triplet loss with the hardest negative, each direction weighted by how sure
    the other one is. L_E pushes the energies of clean and noisy pairs apart.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b).
        is_clean: True for pairs taken as matched, shape (b,).
        config: Temperature, bias and the settings of `srem`.
        margins: From `split_by_energy`; None leaves L_E out.
        mask: True where an off-diagonal entry is no candidate, shape (b, b).

    Raises:
        ValueError: If `similarity` is not square.

    Source:
        SREM-style: Dang et al., AAAI 2024, arXiv:2312.16478, known to us by its abstract;
        the energy loss is that of Liu et al., NeurIPS 2020, arXiv:2010.03759.

    Differs from the source:
        A reconstruction. Means over pairs where the paper may have sums, and the margins.
    """
    settings = config.srem
    loss = settings.complement_weight * _complement(similarity, config, mask).mean()
    loss = loss + _weighted_triplet(similarity, is_clean, config, mask)
    if margins is None:
        return loss
    relative = relative_uncertainty(similarity, temperature=config.temperature, mask=mask)
    return loss + settings.energy_weight * energy_margin_loss(
        relative, is_clean, clean_margin=margins[0], noisy_margin=margins[1]
    )


def relative_uncertainty(
    similarity: Tensor, *, temperature: float, mask: Tensor | None = None
) -> Tensor:
    """Return U + tau ln B of every pair of a batch: 0 if it resembles nothing, low if matched.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b). Take b much
            smaller than the data set: over all of it U does not depend on the pairing.
        temperature: tau, > 0.
        mask: True where an off-diagonal entry is no candidate, shape (b, b).

    Returns:
        Values in [-1, 1] for cosines, more where candidates are masked, shape (b,).

    Source:
        As `row_energy`; the shift, which makes batches of any size comparable for rows
        without a match, is ours.
    """
    turned = None if mask is None else mask.T
    image = row_energy(similarity, temperature=temperature, mask=mask)
    caption = row_energy(similarity.T, temperature=temperature, mask=turned)
    return uncertainty(image, caption) + temperature * math.log(similarity.shape[0])


def split_by_energy(
    uncertainties: Floats, top1: Floats, settings: SremConfig, *, seed: int
) -> EnergySplit:
    """Take pairs of low energy for clean.

    Args:
        uncertainties: Relative U averaged over random batches, shape (n,), n >= 4.
        top1: Share of the batches in which the pair is its image's best, shape (n,).
        settings: Filtration, threshold, clause and margins.
        seed: Of the mixture.

    Raises:
        ValueError: If there are fewer than 4 pairs or some value is not finite.

    Source:
        SREM-style, see `srem_loss`.

    Differs from the source:
        The lowest and the highest energies are never clean and noisy the wrong way round,
        as they are where a wide component claims both tails.
    """
    if settings.filtration == "margin":
        is_low: Bools = uncertainties < settings.threshold
    else:
        split = split_by_gaussians(uncertainties, seed=seed)
        low, high = split.means
        is_low = (split.p_low >= 0.5) & (uncertainties <= high) | (uncertainties < low)
    margins = settings.margins
    if is_low.all() or not is_low.any():
        margins = None
    elif margins is None:
        margins = float(uncertainties[is_low].mean()), float(uncertainties[~is_low].mean())
    return EnergySplit(is_low & (top1 >= 0.5) if settings.top1 else is_low, margins)


def is_top1(similarity: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Return whether no caption of the batch is more similar to a pair's image, shape (b,)."""
    candidates = similarity if mask is None else similarity.masked_fill(mask, -torch.inf)
    return similarity.diagonal() >= candidates.amax(dim=1)


def _complement(similarity: Tensor, config: HeadsConfig, mask: Tensor | None) -> Tensor:
    return biased_complementary_loss(
        similarity,
        temperature=config.temperature,
        bias=ComplementBias(config.complement_bias),
        mask=mask,
    )


def _weighted_triplet(
    similarity: Tensor, is_clean: Tensor, config: HeadsConfig, mask: Tensor | None
) -> Tensor:
    log_p, log_q = match_log_probabilities(similarity, temperature=config.temperature, mask=mask)
    image_weight, caption_weight = swapped_weights(log_p, log_q)
    image, caption = hardest_negative_hinge(similarity, config.srem.hinge, mask=mask)
    losses = (image_weight * image + caption_weight * caption)[is_clean]
    return losses.sum() / max(losses.numel(), 1)
