"""Active complementary loss: the loss that trains on pairs of which some are wrong.

Separate from the training loop, so that every term can be checked by itself.
"""

import torch
from torch import Tensor


def match_log_probabilities(
    similarity: Tensor, *, temperature: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return how likely each candidate of a batch is the partner, in both directions.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b); half
            precision is raised to float32.
        temperature: tau of the softmax, > 0.
        mask: True where an off-diagonal entry is no candidate (a duplicate, or the same
            image), shape (b, b). The diagonal must be False.

    Returns:
        log P, row i the captions for image i, and log Q, row j the images for caption j.
        Both of shape (b, b); -inf where masked.

    Raises:
        ValueError: If `similarity` is not square or `temperature` is not positive.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be square, not {tuple(similarity.shape)}")
    logits = scaled_logits(similarity, temperature=temperature, mask=mask)
    return torch.log_softmax(logits, dim=1), torch.log_softmax(logits.T, dim=1)


def scaled_logits(similarity: Tensor, *, temperature: float, mask: Tensor | None = None) -> Tensor:
    """Return S / tau in at least float32, with -inf where `mask` is True.

    Raises:
        ValueError: If `temperature` is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    if similarity.dtype in (torch.float16, torch.bfloat16):
        similarity = similarity.float()  # exp(1 / 0.05) overflows float16
    logits = similarity / temperature
    return logits if mask is None else logits.masked_fill(mask, -torch.inf)


def match_probability(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return p_i = (P_ii + Q_ii) / 2 in [0, 1], detached, shape (b,): what SCC blends in."""
    return (log_p.diagonal().exp() + log_q.diagonal().exp()).detach() / 2


def active_loss(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return L_d = -ln P_ii - ln Q_ii >= 0 per pair, shape (b,)."""
    return -log_p.diagonal() - log_q.diagonal()


def robust_complementary_loss(log_p: Tensor, log_q: Tensor, *, regulator: Tensor) -> Tensor:
    """Return L_r per pair: how much probability goes to the others, in both directions.

    Args:
        log_p: From `match_log_probabilities`, shape (b, b).
        log_q: From `match_log_probabilities`, shape (b, b).
        regulator: q in [0, 1], shape (b,); at 1 every direction is a share of its tan sum,
            which makes the loss tolerant to noise.

    Returns:
        Values in [0, 2 tan(1)], shape (b,).
    """
    return _tan_share(log_p, regulator) + _tan_share(log_q, regulator)


def active_complementary_loss(
    similarity: Tensor,
    correspondence: Tensor,
    *,
    temperature: float,
    complement_weight: float = 5.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Return y L_d + lambda L_r of every pair, with q = 1 - y.

    A believed pair is pulled together; a pair that is not believed only has its
    probability spread away from the others, bounded and tolerant to noise.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b).
        correspondence: Labels y in [0, 1], shape (b,). No gradient flows into them.
        temperature: tau of the softmax, > 0.
        complement_weight: lambda.
        mask: See `match_log_probabilities`.

    Returns:
        Loss >= 0 of every pair, shape (b,); its mean is the training loss.

    Raises:
        ValueError: If the shapes do not agree or `temperature` is not positive.

    Source:
        Qin et al., NeurIPS 2023, arXiv:2310.17468 (CRCL, ACL). Checked by reading
        QinYang79/CRCL@3d25013, model/CRCL.py `train_self`; not copied.

    Differs from the source:
        log_softmax instead of exp / (sum + 1e-10); the loss weight 5, unnamed there, is an
        argument; duplicates can be masked.
    """
    if correspondence.shape != similarity.shape[:1]:
        raise ValueError(f"{tuple(correspondence.shape)} labels for {similarity.shape[0]} pairs")
    log_p, log_q = match_log_probabilities(similarity, temperature=temperature, mask=mask)
    label = correspondence.detach().to(log_p.dtype)
    robust = robust_complementary_loss(log_p, log_q, regulator=1 - label)
    return label * active_loss(log_p, log_q) + complement_weight * robust


def _tan_share(log_probabilities: Tensor, regulator: Tensor) -> Tensor:
    # Rounding may carry exp(log p) past 1, where tan is steep.
    tan = log_probabilities.exp().clamp(max=1.0).tan()
    own = torch.eye(tan.shape[0], dtype=torch.bool, device=tan.device)
    others = tan.masked_fill(own, 0.0).sum(dim=1)
    return others / tan.sum(dim=1).pow(regulator)
