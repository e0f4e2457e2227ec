"""SREM-style numbers of a pair: energies, entropies, and how far the two directions agree.

Separate from the signals: here a row of candidates is given, and it does not matter whether
it is a row of a training batch or a pair's own similarity and a reference bank's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ncaudit.matching.acl import scaled_logits


def row_energy(rows: Tensor, *, temperature: float, mask: Tensor | None = None) -> Tensor:
    """Return E = -tau log sum exp(S / tau) of every row of candidates.

    Low energy says that some candidate fits well. The energy of a row does not know which
    candidate is the pair's own: over the whole data set it says nothing about the pairing.
    It is informative because a small random set rarely has the true partner of a mismatch.

    Args:
        rows: Similarities to the candidates, shape (..., b); -inf leaves one out.
        temperature: tau, > 0.
        mask: True where a candidate is left out, shape (..., b); leave one at least.

    Returns:
        Energies, shape (...); for cosines within `energy_bounds`.

    Raises:
        ValueError: If `temperature` is not positive.

    Source:
        Liu et al., NeurIPS 2020, arXiv:2010.03759 (energy score); SREM-style use after
        Dang et al., AAAI 2024, arXiv:2312.16478.
    """
    logits = scaled_logits(rows, temperature=temperature, mask=mask)
    return -temperature * torch.logsumexp(logits, dim=-1)


def energy_bounds(n_candidates: int, *, temperature: float) -> tuple[float, float]:
    """Return the least and the greatest energy that cosines to n candidates can have."""
    shift = temperature * math.log(n_candidates)
    return -1.0 - shift, 1.0 - shift


def uncertainty(energy_i2t: Tensor, energy_t2i: Tensor) -> Tensor:
    """Return U, the mean of the two energies; high speaks for a mismatch."""
    return (energy_i2t + energy_t2i) / 2


def normalised_entropy(log_probabilities: Tensor) -> Tensor:
    """Return the entropy of every row over that of a uniform choice.

    Args:
        log_probabilities: Rows of log probabilities, -inf where left out, shape (n, b).

    Returns:
        Values in [0, 1], shape (n,); 0 for a row with a single candidate.
    """
    is_candidate = ~torch.isneginf(log_probabilities)
    finite = log_probabilities.masked_fill(~is_candidate, 0.0)
    entropy = -(log_probabilities.exp() * finite).sum(dim=1)
    largest = is_candidate.sum(dim=1).to(entropy.dtype).log()
    return torch.where(largest > 0, entropy / largest.clamp(min=math.log(2)), 0.0)


def swapped_cross_entropy(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cross entropies between the two directions' distributions.

    Column k of both arguments is the same pair: its caption in `log_p`, its image in
    `log_q`.

    Args:
        log_p: Log probabilities of captions given the image, shape (..., b).
        log_q: Log probabilities of images given the caption, shape (..., b), with the same
            entries left out.

    Returns:
        -sum P ln Q, -sum Q ln P and their mean; each >= 0, shape (...). Low if the
        directions agree on a sharp answer.

    Raises:
        ValueError: If the two do not leave out the same entries.

    Source:
        SREM-style: Dang et al., AAAI 2024, arXiv:2312.16478, known to us by its abstract.

    Differs from the source:
        One reading of "swapped classification entropy"; `swapped_weights` is another.
    """
    left_out = torch.isneginf(log_p)
    if not torch.equal(left_out, torch.isneginf(log_q)):
        raise ValueError("the two directions must leave out the same entries")
    p_under_q = -(log_p.exp() * log_q.masked_fill(left_out, 0.0)).sum(dim=-1)
    q_under_p = -(log_q.exp() * log_p.masked_fill(left_out, 0.0)).sum(dim=-1)
    return p_under_q, q_under_p, (p_under_q + q_under_p) / 2


def swapped_weights(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights (i2t, t2i) of a pair's loss: 1 - entropy of the *other* direction.

    Args:
        log_p: Log probabilities of captions given the image, shape (n, b).
        log_q: Log probabilities of images given the caption, shape (n, b).

    Returns:
        Two weights in [0, 1], detached, shape (n,) each.

    Source:
        SREM-style, see `swapped_cross_entropy`.
    """
    return 1 - normalised_entropy(log_q.detach()), 1 - normalised_entropy(log_p.detach())


def energy_margin_loss(
    uncertainties: Tensor, is_clean: Tensor, *, clean_margin: float, noisy_margin: float
) -> Tensor:
    """Return L_E: clean pairs are pushed below one margin, noisy ones above the other.

    Args:
        uncertainties: U of every pair, shape (n,).
        is_clean: True for pairs taken as matched, shape (n,).
        clean_margin: U of a clean pair costs nothing below this.
        noisy_margin: U of a noisy pair costs nothing above this; greater.

    Returns:
        A scalar >= 0: mean square excess of the clean plus that of the noisy pairs.

    Raises:
        ValueError: If the margins are not in order.

    Source:
        Liu et al., NeurIPS 2020, arXiv:2010.03759 (energy-bounded learning).
    """
    if not clean_margin < noisy_margin:
        raise ValueError(f"clean margin {clean_margin} must be below {noisy_margin}")
    clean = torch.relu(uncertainties - clean_margin).square()[is_clean]
    noisy = torch.relu(noisy_margin - uncertainties).square()[~is_clean]
    return clean.sum() / max(clean.numel(), 1) + noisy.sum() / max(noisy.numel(), 1)


@dataclass(frozen=True, slots=True, eq=False)
class RowScores:
    """Numbers of pairs against their candidates, one for each row; high is bad.

    Attributes:
        energy_i2t: Energy of the image's row.
        energy_t2i: Energy of the caption's row.
        swapped_entropy: Symmetric swapped cross entropy, >= 0.
    """

    energy_i2t: Tensor
    energy_t2i: Tensor
    swapped_entropy: Tensor


def score_rows(image_rows: Tensor, caption_rows: Tensor, *, temperature: float) -> RowScores:
    """Return the numbers of pairs whose own similarity is the first entry of every row.

    Args:
        image_rows: S of the image with its own caption, then with the captions of the bank,
            shape (..., b); -inf where a bank pair is left out (a duplicate, or the same
            image).
        caption_rows: S of the caption with its own image, then with the images of the bank
            in the same order, shape (..., b), with the same entries left out.
        temperature: tau, > 0.

    Returns:
        All numbers of the pairs, of shape (...). They depend on b and tau, compare like with
        like; fewer than 8 candidates say little.

    Raises:
        ValueError: If the shapes or what is left out differ, or `temperature` is not
            positive.
    """
    if image_rows.shape != caption_rows.shape:
        raise ValueError(f"{tuple(image_rows.shape)} against {tuple(caption_rows.shape)}")
    both = [scaled_logits(rows, temperature=temperature) for rows in (image_rows, caption_rows)]
    sums = [torch.logsumexp(logits, dim=-1) for logits in both]
    log_p, log_q = (logits - total.unsqueeze(-1) for logits, total in zip(both, sums, strict=True))
    _, _, swapped = swapped_cross_entropy(log_p, log_q)
    return RowScores(-temperature * sums[0], -temperature * sums[1], swapped)
