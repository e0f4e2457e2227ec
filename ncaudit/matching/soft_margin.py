"""MSCN's training losses, with a margin of its own for every pair, and its bilevel step.

Separate from the network: the broadcast of the margin and the gradient through a step are
where such code goes wrong, and both can be checked on a toy.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Parameters: TypeAlias = Mapping[str, Tensor]
Loss: TypeAlias = Callable[[Parameters], Tensor]


def soft_margin(match_similarity: Tensor, *, margin: float = 0.2) -> Tensor:
    """Return a pair's margin: the more it looks matched, the larger.

    Args:
        match_similarity: s in [0, 1] of the pairs, shape (n,).
        margin: a, the margin of a surely matched pair.

    Returns:
        a s^2 / (s^2 + (1 - s)^2) in [0, a], shape (n,), detached.

    Source:
        Han et al., CVPR 2023, arXiv:2304.06275 (MSCN). Checked by reading
        hhc1997/MSCN@ec94685 (MIT), models.py.

    Differs from the source:
        Written without s / (1 - s), which is infinite at 1.
    """
    similarity = match_similarity.detach()
    matched, mismatched = similarity.square(), (1 - similarity).square()
    return margin * matched / (matched + mismatched)


def hardest_negative_hinge(
    similarity: Tensor, margin: Tensor | float, *, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return [a_i + S of the hardest negative - S_ii]_+ per pair, in both directions.

    Args:
        similarity: S with images as rows and captions as columns, shape (b, b).
        margin: a_i of every pair, shape (b,), or one number. It belongs to the pair that
            is the anchor: its row for image-to-text, its column for text-to-image.
        mask: True where an off-diagonal entry is no negative, shape (b, b).

    Returns:
        Image-to-text and text-to-image losses >= 0, shape (b,) each; 0 without negatives.

    Source:
        Faghri et al., BMVC 2018, arXiv:1707.05612 (hardest negatives), with MSCN's margin.

    Differs from the source:
        MSCN's released code takes the margin of the negative's pair, not of the anchor's,
        for image-to-text.
    """
    negatives = similarity.masked_fill(_no_negatives(similarity, mask), -torch.inf)
    positive = similarity.diagonal()
    image_to_text = torch.relu(margin + negatives.amax(dim=1) - positive)
    text_to_image = torch.relu(margin + negatives.amax(dim=0) - positive)
    return image_to_text, text_to_image


def mean_negative_hinge(
    similarity: Tensor, margin: Tensor | float, *, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean of [a_i + S of a negative - S_ii]_+ over all negatives of a pair.

    The warm-up form: hardest negatives collapse a model that knows nothing yet.

    Args:
        similarity: As `hardest_negative_hinge`.
        margin: As `hardest_negative_hinge`.
        mask: As `hardest_negative_hinge`.

    Returns:
        Image-to-text and text-to-image losses >= 0, shape (b,) each; 0 without negatives.

    Source:
        Han et al., CVPR 2023, arXiv:2304.06275 (MSCN, warm-up).

    Differs from the source:
        The released code divides by b, the zero of the pair itself included.
    """
    left_out = _no_negatives(similarity, mask)
    positive = similarity.diagonal()
    margins = torch.as_tensor(margin).to(similarity).expand_as(positive)
    by_row = torch.relu(margins[:, None] + similarity - positive[:, None])
    by_column = torch.relu(margins[None, :] + similarity - positive[None, :])
    n_by_row = (~left_out).sum(dim=1).clamp(min=1)
    n_by_column = (~left_out).sum(dim=0).clamp(min=1)
    image_to_text = by_row.masked_fill(left_out, 0.0).sum(dim=1) / n_by_row
    text_to_image = by_column.masked_fill(left_out, 0.0).sum(dim=0) / n_by_column
    return image_to_text, text_to_image


def soft_margin_loss(similarity: Tensor, *, margin: float = 0.2) -> Tensor:
    """Return MSCN's L_tr, a scalar: hardest negatives, the soft margin of every pair.

    Args:
        similarity: S in [0, 1] with images as rows and captions as columns, shape (b, b).
        margin: a, the margin of a surely matched pair.
    """
    margins = soft_margin(similarity.diagonal(), margin=margin)
    image_to_text, text_to_image = hardest_negative_hinge(similarity, margins)
    return image_to_text.sum() + text_to_image.sum()


class BilevelStep(NamedTuple):
    """What one virtual step says.

    Attributes:
        training_loss: L_tr at the inner parameters.
        virtual: The inner parameters after one SGD step, still a function of the outer.
        meta_loss: L_meta at the virtual parameters.
        hyper_gradient: Gradient of L_meta by the outer parameters, in their order.
    """

    training_loss: Tensor
    virtual: dict[str, Tensor]
    meta_loss: Tensor
    hyper_gradient: tuple[Tensor, ...]


def bilevel_step(
    training_loss: Loss, meta_loss: Loss, *, inner: Parameters, outer: Parameters, rate: float
) -> BilevelStep:
    """Differentiate the meta loss through one virtual SGD step of the inner parameters.

    Args:
        training_loss: L_tr as a function of the inner parameters w; must also depend on
            the outer parameters theta, or their gradient is that of the meta loss alone.
        meta_loss: L_meta as a function of the inner parameters.
        inner: w, tensors that require a gradient.
        outer: theta, tensors that require a gradient; the two losses hold them.
        rate: Step of the virtual SGD step.

    Source:
        Han et al., CVPR 2023, arXiv:2304.06275 (MSCN).
    """
    loss = training_loss(inner)
    gradients = torch.autograd.grad(loss, tuple(inner.values()), create_graph=True)
    steps = zip(inner.items(), gradients, strict=True)
    virtual = {name: value - rate * gradient for (name, value), gradient in steps}
    judged = meta_loss(virtual)
    hyper_gradient = torch.autograd.grad(judged, tuple(outer.values()))
    return BilevelStep(loss.detach(), virtual, judged.detach(), hyper_gradient)


def _no_negatives(similarity: Tensor, mask: Tensor | None) -> Tensor:
    own = torch.eye(similarity.shape[0], dtype=torch.bool, device=similarity.device)
    return own if mask is None else own | mask
