"""Fixed reference banks: what a random batch would say of a pair, without the batch.

A number defined over a batch would depend on who shares it. Here every pair meets the
same R banks, drawn once by the seed and stored with the model, and the R answers are
averaged.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ncaudit.config import BankConfig
from ncaudit.matching.energy import row_energy, score_rows, uncertainty
from ncaudit.matching.heads import Heads
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Floats, Ints

CHUNK_ROWS = 2048  # pairs that meet the banks at a time: arrays of a few MB


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceBank:
    """R banks of pairs, end to end.

    Attributes:
        pairs: The bank pairs, `repeats` times `size` of them.
        repeats: R.
        size: Pairs in one bank: B - 1 of the loss batch.
        energy_size: Pairs of each bank that the energies use: B - 1 of the energy batch.
    """

    pairs: Pairs
    repeats: int
    size: int
    energy_size: int

    @property
    def first(self) -> "ReferenceBank":
        """The first bank alone."""
        pairs = self.pairs.take(np.arange(self.size))
        return ReferenceBank(pairs, 1, self.size, self.energy_size)


@dataclass(frozen=True, slots=True, eq=False)
class BankScores:
    """What the banks say of n pairs; each array has shape (n,), float32.

    Attributes:
        similarity: S_ii, cosine in the matching space.
        neg_clip_loss: S_ii - tau/2 (lse of the image's row + lse of the caption's).
        match_probability: (P_ii + Q_ii) / 2.
        energy_i2t: Energy of the image's row, B = 64 by default.
        energy_t2i: Energy of the caption's row.
        swapped_entropy: Symmetric swapped cross entropy.
    """

    similarity: Floats
    neg_clip_loss: Floats
    match_probability: Floats
    energy_i2t: Floats
    energy_t2i: Floats
    swapped_entropy: Floats

    @property
    def uncertainty(self) -> Floats:
        """U, the mean of both energies."""
        mean: Floats = (self.energy_i2t + self.energy_t2i) / 2
        return mean

    @classmethod
    def zeros(cls, n: int) -> "BankScores":
        """Return room for the scores of n pairs."""
        return cls(*(np.zeros(n, np.float32) for _ in cls.__dataclass_fields__))

    def add(self, at: slice | Ints, scores: "BankScores", *, out_of: int = 1) -> None:
        """Add scores to the rows `at`, each as one of `out_of` that are averaged."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[at] += getattr(scores, name) / out_of


@dataclass(frozen=True, slots=True, eq=False)
class BankDraw:
    """Which pairs were drawn into the banks.

    Attributes:
        rows: Rows of the pairs, `repeats` times `size` of them.
        repeats: R.
        size: Pairs in one bank.
        energy_size: Pairs of each bank that the energies use.
    """

    rows: Ints
    repeats: int
    size: int
    energy_size: int

    def of(self, pairs: Pairs, caption_row: Ints | None = None) -> ReferenceBank:
        """Return the banks, with the captions of other rows where `caption_row` says so.

        Args:
            pairs: The pairs drawn from, n of them.
            caption_row: Row of each pair's caption, shape (n,), or None for its own.
        """
        captions = self.rows if caption_row is None else caption_row[self.rows]
        banked = pairs.recombine(self.rows, captions)
        return ReferenceBank(banked, self.repeats, self.size, self.energy_size)


def draw_bank(n_pairs: int, config: BankConfig, *, seed: int) -> BankDraw:
    """Draw the reference banks from the fit pairs, without replacement within a bank.

    With few pairs the banks shrink to half of them.
    """
    rng = np.random.default_rng([seed, 3])
    size = min(config.loss_batch - 1, n_pairs // 2)
    rows = [rng.choice(n_pairs, size, replace=False) for _ in range(config.repeats)]
    energy_size = min(config.energy_batch - 1, size)
    return BankDraw(np.concatenate(rows), config.repeats, size, energy_size)


def score_against_bank(
    heads: Heads, pairs: Pairs, bank: ReferenceBank, *, temperature: float
) -> BankScores:
    """Score pairs against every bank and average, a chunk of pairs at a time.

    Bank pairs of the same image or the same caption as the pair are left out for it.

    Args:
        heads: Maps into the matching space.
        pairs: Pairs to score.
        bank: Reference banks.
        temperature: tau.
    """
    projected = project_bank(heads, bank)
    out = BankScores.zeros(len(pairs))
    for at, chunk in pairs.chunks(CHUNK_ROWS):
        own = heads.project(chunk)
        out.add(at, score_projected(chunk, own, projected, temperature=temperature))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class ProjectedBank:
    """Banks in the matching space.

    Attributes:
        bank: The banks.
        image: Images of the bank pairs, unit rows, behind a row of zeros in every bank,
            shape (repeats * (1 + size), k), float32.
        caption: Their captions, in the same way.
    """

    bank: ReferenceBank
    image: Floats
    caption: Floats


def project_bank(heads: Heads, bank: ReferenceBank) -> ProjectedBank:
    """Map the bank pairs into the matching space, for any number of `score_projected`."""
    image, caption = (_after_zeros(side, bank) for side in heads.project(bank.pairs))
    return ProjectedBank(bank, image, caption)


def score_projected(
    pairs: Pairs, own: tuple[Floats, Floats], projected: ProjectedBank, *, temperature: float
) -> BankScores:
    """Score a chunk of pairs that are in the matching space already.

    Args:
        pairs: About `CHUNK_ROWS` pairs, n of them; more need much memory.
        own: Their images and captions in the matching space, shape (n, k) each.
        projected: The banks, by the same heads.
        temperature: tau.
    """
    similarity = np.einsum("nk,nk->n", *own)
    image, caption = _rows(pairs, own, similarity, projected)
    few = 1 + projected.bank.energy_size
    narrow = score_rows(image[..., :few], caption[..., :few], temperature=temperature)
    energies = [row_energy(rows, temperature=temperature) for rows in (image, caption)]
    matches = [torch.exp((image[..., 0] + energy) / temperature) for energy in energies]
    return BankScores(
        similarity=similarity,
        neg_clip_loss=similarity + _mean(uncertainty(*energies)),
        match_probability=_mean((matches[0] + matches[1]) / 2),
        energy_i2t=_mean(narrow.energy_i2t),
        energy_t2i=_mean(narrow.energy_t2i),
        swapped_entropy=_mean(narrow.swapped_entropy),
    )


def loss_against_bank(
    heads: Heads, pairs: Pairs, bank: ReferenceBank, *, temperature: float
) -> Floats:
    """Return negCLIPLoss against the first bank alone, shape (n,): enough to compare heads."""
    projected = project_bank(heads, bank.first)
    losses = np.empty(len(pairs), np.float32)
    for at, chunk in pairs.chunks(CHUNK_ROWS):
        own = heads.project(chunk)
        similarity = np.einsum("nk,nk->n", *own)
        rows = _rows(chunk, own, similarity, projected)
        energies = [row_energy(side, temperature=temperature) for side in rows]
        losses[at] = similarity + _mean(uncertainty(*energies))
    return losses


def _after_zeros(side: Floats, bank: ReferenceBank) -> Floats:
    """Leave room in front of every bank for a pair's own similarity."""
    roomy = np.zeros((bank.repeats, 1 + bank.size, side.shape[1]), np.float32)
    roomy[:, 1:] = side.reshape(bank.repeats, bank.size, -1)
    return roomy.reshape(-1, side.shape[1])


def _rows(
    pairs: Pairs, own: tuple[Floats, Floats], similarity: Floats, projected: ProjectedBank
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return S_ii and S_i,bank of images and of captions, shape (n, repeats, 1 + size)."""
    bank = projected.bank
    both = []
    met_again, same = _duplicates(pairs, bank)
    for side, of_bank in zip(own, (projected.caption, projected.image), strict=True):
        rows = (side @ of_bank.T).reshape(len(pairs), bank.repeats, 1 + bank.size)
        rows[:, :, 0] = similarity[:, None]
        rows[met_again, :, 1:] = np.where(same, -np.inf, rows[met_again, :, 1:])
        both.append(torch.from_numpy(rows))
    return both[0], both[1]


def _duplicates(pairs: Pairs, bank: ReferenceBank) -> tuple[Ints, Bools]:
    """Return which pairs have duplicates in the banks, and where, shape (d, repeats, size)."""
    of_bank = bank.pairs
    met_again = np.isin(pairs.image_id, of_bank.image_id)
    met_again |= np.isin(pairs.caption_id, of_bank.caption_id)
    rows = np.flatnonzero(met_again)
    same = pairs.image_id[rows, None] == of_bank.image_id[None]
    same |= pairs.caption_id[rows, None] == of_bank.caption_id[None]
    return rows, same.reshape(len(rows), bank.repeats, bank.size)


def _mean(of_banks: torch.Tensor) -> Floats:
    mean: Floats = of_banks.double().mean(dim=1).float().numpy()
    return mean
