"""The one training loop: linear heads under an objective, with labels refined by SCC."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ncaudit.config import HeadsConfig
from ncaudit.matching.acl import match_log_probabilities, match_probability
from ncaudit.matching.heads import Heads, image_features
from ncaudit.matching.objectives import (
    EnergySplit,
    crcl_loss,
    is_top1,
    relative_uncertainty,
    split_by_energy,
    srem_loss,
    srem_warmup_loss,
)
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.scc import LabelPhase, LabelUpdate, SccSchedule, guarded_labels
from ncaudit.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training leaves behind.

    Attributes:
        checkpoints: Heads after each epoch of the last piece; the last is the end of training.
        labels: SCC labels after each epoch of all pieces, shape (epochs, n), float32.
    """

    checkpoints: tuple[Heads, ...]
    labels: Floats


def train_heads(
    start: Heads, pairs: Pairs, labels: Floats, config: HeadsConfig, *, seed: int
) -> Trained:
    """Refine heads under a noise-robust objective on pairs of which some are wrong.

    The step of each map is `learning_rate` times the root mean square of its start, so
    that one rate serves towers of any scale. Pairs of the same image or caption do not
    serve as each other's negatives. SCC labels are followed under every objective.

    Args:
        start: Heads to start from; unchanged.
        pairs: Training pairs.
        labels: First correspondence labels in [0, 1], shape (n,); the setting
            `labels_from` may put ones in their place.
        config: Objective, schedule, batch, temperature, momentum, floor, rate.
        seed: Decides the batches.

    Source:
        Qin et al., NeurIPS 2023, arXiv:2310.17468 (ACL, SCC); settings for heads on
        frozen embeddings are ours. For `srem` see `srem_loss`.

    Differs from the source:
        By default heads start from a closed form and labels from its match probability, so
        that there is no warm-up and one piece; every piece starts from that closed form
        again, not from random weights; no input augmentation, no decay of the rate.
    """
    rng = np.random.default_rng([seed, 4])
    schedule = SccSchedule(config.pieces, config.warmup, config.momentum, config.floor)
    current = np.ones(len(pairs)) if config.labels_from == "ones" else labels
    current = current.astype(np.float32)
    history: list[Floats] = []
    checkpoints: list[Heads] = []
    for piece in range(len(config.pieces)):
        model, checkpoints = _Model(start, config), []
        for epoch in range(schedule.n_epochs(piece)):
            relabel = partial(schedule.update, piece=piece, epoch=epoch)
            needs_split = config.objective == "srem" and epoch >= config.warmup
            split = _filtered(model, pairs, config, rng) if needs_split else None
            criterion = _Criterion(config, split)
            for rows in _batches(len(pairs), config.batch, rng):
                current[rows] = _step(model, pairs, rows, current[rows], relabel, criterion)
            if schedule.phase(piece=piece, epoch=epoch) is LabelPhase.INITIALISED:
                current = guarded_labels(current, guard=config.noise_guard, seed=seed)
            history.append(current.copy())
            checkpoints.append(model.heads())
    return Trained(tuple(checkpoints), np.stack(history))


class _Model:
    """The two maps and their optimiser, fresh at the start of a piece."""

    def __init__(self, start: Heads, config: HeadsConfig) -> None:
        self._start = start
        self._clip_norm = config.clip_norm
        self.temperature = config.temperature
        self._maps = [
            torch.from_numpy(start.image_map).clone(),
            torch.from_numpy(start.caption_map).clone(),
        ]
        groups = [
            {"params": [each.requires_grad_()], "lr": config.learning_rate * _rms(each)}
            for each in self._maps
        ]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)

    def similarity(self, batch: Pairs) -> Tensor:
        """Return S with images as rows and captions as columns, shape (b, b)."""
        start = self._start
        features = image_features(batch.image, aligned=start.aligned) - start.image_mean
        captions = batch.caption.astype(np.float32) - start.caption_mean
        image = normalize(torch.from_numpy(features) @ self._maps[0], dim=1)
        caption = normalize(torch.from_numpy(captions) @ self._maps[1], dim=1)
        return image @ caption.T

    def descend(self, loss: Tensor) -> None:
        """Take one step of the optimiser."""
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._maps, self._clip_norm)
        self._optimiser.step()

    def heads(self) -> Heads:
        """Return copies of the maps as they are now."""
        image_map, caption_map = (each.detach().numpy().copy() for each in self._maps)
        start = self._start
        return Heads(start.aligned, start.image_mean, image_map, start.caption_mean, caption_map)


@dataclass(frozen=True, slots=True, eq=False)
class _Criterion:
    """The loss of one epoch; without a split, `srem` warms up."""

    config: HeadsConfig
    split: EnergySplit | None

    def loss(self, similarity: Tensor, labels: Floats, rows: Ints, mask: Tensor) -> Tensor:
        """Return the loss of the batch at `rows`, a scalar."""
        if self.config.objective == "crcl":
            y = torch.from_numpy(labels)
            return crcl_loss(similarity, y, self.config, mask=mask).mean()
        if self.split is None:
            return srem_warmup_loss(similarity, self.config, mask=mask).mean()
        is_clean = torch.from_numpy(self.split.is_clean[rows])
        margins = self.split.margins
        return srem_loss(similarity, is_clean, self.config, margins=margins, mask=mask)


def _filtered(
    model: _Model, pairs: Pairs, config: HeadsConfig, rng: np.random.Generator
) -> EnergySplit:
    """Split pairs by their energies, averaged over several random batchings."""
    uncertainties, top1 = np.zeros(len(pairs)), np.zeros(len(pairs))
    # Over all pairs at once energy says nothing about who belongs to whom.
    size = min(config.batch, max(1, len(pairs) // 2))
    repeats = config.srem.repeats
    for _ in range(repeats):
        for rows in _batches(len(pairs), size, rng):
            batch = pairs.take(rows)
            mask = torch.from_numpy(_same(batch))
            with torch.no_grad():
                similarity = model.similarity(batch)
                energy = relative_uncertainty(similarity, temperature=model.temperature, mask=mask)
            uncertainties[rows] += energy.numpy() / repeats
            top1[rows] += is_top1(similarity, mask=mask).numpy() / repeats
    return split_by_energy(uncertainties, top1, config.srem, seed=int(rng.integers(2**31)))


def _step(
    model: _Model,
    pairs: Pairs,
    rows: Ints,
    labels: Floats,
    relabel: Callable[[Floats, Floats], LabelUpdate],
    criterion: _Criterion,
) -> Floats:
    batch = pairs.take(rows)
    similarity = model.similarity(batch)
    mask = torch.from_numpy(_same(batch))
    log_p, log_q = match_log_probabilities(
        similarity.detach(), temperature=model.temperature, mask=mask
    )
    update = relabel(labels, match_probability(log_p, log_q).numpy())
    model.descend(criterion.loss(similarity, update.use, rows, mask))
    return update.store


def _batches(n: int, size: int, rng: np.random.Generator) -> list[Ints]:
    """Split a random order into batches of nearly equal size; none is ragged."""
    return np.array_split(rng.permutation(n), max(1, n // size))


def _same(batch: Pairs) -> Bools:
    same: Bools = batch.image_id[:, None] == batch.image_id[None]
    same |= batch.caption_id[:, None] == batch.caption_id[None]
    np.fill_diagonal(same, val=False)
    return same


def _rms(values: Tensor) -> float:
    return float(values.detach().square().mean().sqrt())
