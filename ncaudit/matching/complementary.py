"""Cross-modal biased complementary learning: push every wrong partner away, some more.

Separate from ACL: it needs no labels, and its bias is a choice.
"""

import math
from enum import StrEnum

import torch
from torch import Tensor

from ncaudit.matching.acl import match_log_probabilities, scaled_logits

_LEAST_COMPLEMENT = 1e-7  # 1 - p is not taken below this


class ComplementBias(StrEnum):
    """Which wrong partners count more."""

    UNIFORM = "uniform"
    SIMILAR = "similar"  # the hardest ones, which in noisy data may be true partners
    DISSIMILAR = "dissimilar"  # the surely wrong ones


def log1mexp(log_p: Tensor) -> Tensor:
    """Return ln(1 - exp(log_p)) without cancellation, not below ln 1e-7.

    Args:
        log_p: Log probabilities <= 0, -inf included, any shape.

    Returns:
        Values in [ln 1e-7, 0], same shape; the gradient is 0 where the bound acts.
    """
    bounded = log_p.clamp(max=math.log1p(-_LEAST_COMPLEMENT))
    near_one = bounded > -math.log(2)
    # Each branch gets harmless values where the other applies: 0 * inf is NaN in a gradient.
    steep = torch.log(-torch.expm1(torch.where(near_one, bounded, -1.0)))
    flat = torch.log1p(-torch.exp(torch.where(near_one, -1.0, bounded)))
    return torch.where(near_one, steep, flat)


def biased_complementary_loss(
    similarity: Tensor,
    *,
    temperature: float,
    bias: ComplementBias = ComplementBias.UNIFORM,
    mask: Tensor | None = None,
) -> Tensor:
    """Return the mean of -ln(1 - p) over the other candidates, averaged over both directions.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b).
        temperature: tau of the softmax and of the bias, > 0.
        bias: How the candidates are weighted; the weights sum to 1 and have no gradient.
        mask: True where an off-diagonal entry is no candidate, shape (b, b).

    Returns:
        Loss in [0, -ln 1e-7] of every pair, shape (b,); 0 for a pair without candidates.

    Raises:
        ValueError: If `similarity` is not square or `temperature` is not positive.

    Source:
        SREM-style: Dang et al., AAAI 2024, arXiv:2312.16478, known to us by its abstract.
        The complementary label form is that of Kim et al., ICCV 2019 (NLNL).

    Differs from the source:
        The bias of the paper is not known to us: all three are offered.
    """
    log_p, log_q = match_log_probabilities(similarity, temperature=temperature, mask=mask)
    logits = scaled_logits(similarity.detach(), temperature=temperature, mask=mask)
    forward = (_bias_weights(logits, bias) * -log1mexp(log_p)).sum(dim=1)
    backward = (_bias_weights(logits.T, bias) * -log1mexp(log_q)).sum(dim=1)
    return (forward + backward) / 2


def _bias_weights(logits: Tensor, bias: ComplementBias) -> Tensor:
    own = torch.eye(logits.shape[0], dtype=torch.bool, device=logits.device)
    left_out = own | torch.isneginf(logits)
    sign = {
        ComplementBias.UNIFORM: 0.0,
        ComplementBias.SIMILAR: 1.0,
        ComplementBias.DISSIMILAR: -1.0,
    }[bias]
    scores = (sign * logits.masked_fill(left_out, 0.0)).masked_fill(left_out, -torch.inf)
    # A row without candidates has no softmax.
    return torch.softmax(scores, dim=1).masked_fill(left_out, 0.0)
