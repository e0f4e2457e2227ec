"""The one training loop: linear heads under ACL, with labels refined by SCC."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ncaudit.config import HeadsConfig
from ncaudit.matching.acl import (
    active_complementary_loss,
    match_log_probabilities,
    match_probability,
)
from ncaudit.matching.heads import Heads, image_features
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.scc import refine_correspondence
from ncaudit.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training leaves behind.

    Attributes:
        checkpoints: Heads after each epoch; the last is the end of training.
        labels: SCC labels after each epoch, shape (epochs, n), float32.
    """

    checkpoints: tuple[Heads, ...]
    labels: Floats


def train_heads(
    start: Heads, pairs: Pairs, labels: Floats, config: HeadsConfig, *, seed: int
) -> Trained:
    """Refine heads with active complementary learning on pairs of which some are wrong.

    The step of each map is `learning_rate` times the root mean square of its start, so
    that one rate serves towers of any scale. Pairs of the same image or caption do not
    serve as each other's negatives.

    Args:
        start: Heads to start from; unchanged.
        pairs: Training pairs.
        labels: First correspondence labels in [0, 1], shape (n,).
        config: Epochs, batch, temperature, momentum, floor, rate.
        seed: Decides the batches.

    Source:
        Qin et al., NeurIPS 2023, arXiv:2310.17468 (ACL, SCC); settings for heads on
        frozen embeddings are ours.

    Differs from the source:
        Heads start from a closed form and labels from its match probability, so there is
        no warm-up and one piece; no input augmentation.
    """
    rng = np.random.default_rng([seed, 4])
    maps = [torch.from_numpy(start.image_map).clone(), torch.from_numpy(start.caption_map).clone()]
    groups = [
        {"params": [each.requires_grad_()], "lr": config.learning_rate * _rms(each)}
        for each in maps
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    current, history, checkpoints = labels.astype(np.float32), [], []
    for _ in range(config.epochs):
        for rows in _batches(len(pairs), config.batch, rng):
            current[rows] = _step(start, maps, pairs.take(rows), current[rows], optimiser, config)
        history.append(current.copy())
        checkpoints.append(_heads(start, maps))
    return Trained(tuple(checkpoints), np.stack(history))


def _step(
    start: Heads,
    maps: list[Tensor],
    batch: Pairs,
    labels: Floats,
    optimiser: torch.optim.Optimizer,
    config: HeadsConfig,
) -> Floats:
    features = image_features(batch.image, aligned=start.aligned) - start.image_mean
    captions = batch.caption.astype(np.float32) - start.caption_mean
    image = normalize(torch.from_numpy(features) @ maps[0], dim=1)
    caption = normalize(torch.from_numpy(captions) @ maps[1], dim=1)
    similarity = image @ caption.T
    mask = torch.from_numpy(_same(batch))
    log_p, log_q = match_log_probabilities(
        similarity.detach(), temperature=config.temperature, mask=mask
    )
    refined = refine_correspondence(
        labels,
        match_probability(log_p, log_q).numpy(),
        momentum=config.momentum,
        floor=config.floor,
    ).astype(np.float32)
    losses = active_complementary_loss(
        similarity,
        torch.from_numpy(refined),
        temperature=config.temperature,
        complement_weight=config.complement_weight,
        mask=mask,
    )
    optimiser.zero_grad()
    losses.mean().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(maps, config.clip_norm)
    optimiser.step()
    return refined


def _batches(n: int, size: int, rng: np.random.Generator) -> list[Ints]:
    """Split a random order into batches of nearly equal size; none is ragged."""
    return np.array_split(rng.permutation(n), max(1, n // size))


def _same(batch: Pairs) -> Bools:
    same: Bools = batch.image_id[:, None] == batch.image_id[None]
    same |= batch.caption_id[:, None] == batch.caption_id[None]
    np.fill_diagonal(same, val=False)
    return same


def _heads(start: Heads, maps: list[Tensor]) -> Heads:
    return Heads(
        start.aligned,
        start.image_mean,
        maps[0].detach().numpy().copy(),
        start.caption_mean,
        maps[1].detach().numpy().copy(),
    )


def _rms(values: Tensor) -> float:
    return float(values.detach().square().mean().sqrt())
