"""Fixed reference banks: what a random batch would say of a pair, without the batch.

A number defined over a batch would depend on who shares it. Here every pair meets the
same R banks, drawn once by the seed and stored with the model, and the R answers are
averaged.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ncaudit.config import BankConfig
from ncaudit.matching.energy import RowScores, bank_rows, row_energy, score_rows
from ncaudit.matching.heads import Heads
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Floats, Ints

_CHUNK_ROWS = 2048  # rows of one bank at a time: a few MB, which stays in the cache


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
    bank_image, bank_caption = heads.project(bank.pairs)
    parts = []
    for _, chunk in pairs.chunks(_CHUNK_ROWS):
        image, caption = heads.project(chunk)
        parts.append(
            _score_chunk(chunk, (image, caption), bank, (bank_image, bank_caption), temperature)
        )
    names = list(BankScores.__dataclass_fields__)
    return BankScores(
        **{
            name: np.concatenate([part[name] for part in parts])
            if parts
            else np.zeros(0, np.float32)
            for name in names
        }
    )


def loss_against_bank(
    heads: Heads, pairs: Pairs, bank: ReferenceBank, *, temperature: float
) -> Floats:
    """Return negCLIPLoss against the first bank alone, shape (n,): enough to compare heads."""
    first = slice(0, bank.size)
    of_bank = tuple(side[first] for side in heads.project(bank.pairs))
    losses = np.empty(len(pairs), np.float32)
    for at, chunk in pairs.chunks(_CHUNK_ROWS):
        own = heads.project(chunk)
        similarity = np.einsum("nk,nk->n", *own)
        mask = torch.from_numpy(_duplicates(chunk, bank.pairs, first))
        rows = (_rows(similarity, own[0] @ of_bank[1].T), _rows(similarity, own[1] @ of_bank[0].T))
        losses[at] = similarity + _mean_energy(rows, temperature, mask)
    return losses


def _score_chunk(
    chunk: Pairs,
    own: tuple[Floats, Floats],
    bank: ReferenceBank,
    of_bank: tuple[Floats, Floats],
    temperature: float,
) -> dict[str, Floats]:
    similarity = np.einsum("nk,nk->n", *own)
    sums = dict.fromkeys(BankScores.__dataclass_fields__, np.zeros(len(chunk), np.float64))
    few = 1 + bank.energy_size
    for repeat in range(bank.repeats):
        at = slice(repeat * bank.size, (repeat + 1) * bank.size)
        rows = (
            _rows(similarity, own[0] @ of_bank[1][at].T),
            _rows(similarity, own[1] @ of_bank[0][at].T),
        )
        mask = torch.from_numpy(_duplicates(chunk, bank.pairs, at))
        narrow = score_rows(
            rows[0][:, :few], rows[1][:, :few], temperature=temperature, mask=mask[:, :few]
        )
        for name, values in _of_bank(rows, mask, narrow, temperature).items():
            sums[name] = sums[name] + values
    means = {name: (total / bank.repeats).astype(np.float32) for name, total in sums.items()}
    return means | {"similarity": similarity.astype(np.float32)}


def _rows(own: Floats, against_bank: Floats) -> torch.Tensor:
    return bank_rows(torch.from_numpy(own), torch.from_numpy(against_bank))


def _duplicates(chunk: Pairs, bank: Pairs, at: slice) -> Bools:
    """Tell which bank pairs a pair must not meet, shape (n, 1 + size); itself it may."""
    same = chunk.image_id[:, None] == bank.image_id[None, at]
    same |= chunk.caption_id[:, None] == bank.caption_id[None, at]
    return np.concatenate([np.zeros((len(chunk), 1), bool), same], axis=1)


def _of_bank(
    rows: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor,
    narrow: RowScores,
    temperature: float,
) -> dict[str, Floats]:
    own = rows[0][:, 0]
    energies = [row_energy(side, temperature=temperature, mask=mask) for side in rows]
    matches = [torch.exp((own + energy) / temperature) for energy in energies]
    return {
        "neg_clip_loss": (own + (energies[0] + energies[1]) / 2).numpy(),
        "match_probability": ((matches[0] + matches[1]) / 2).numpy(),
        "energy_i2t": narrow.energy_i2t.numpy(),
        "energy_t2i": narrow.energy_t2i.numpy(),
        "swapped_entropy": narrow.swapped_entropy.numpy(),
    }


def _mean_energy(
    rows: tuple[torch.Tensor, torch.Tensor], temperature: float, mask: torch.Tensor
) -> Floats:
    both = [row_energy(side, temperature=temperature, mask=mask) for side in rows]
    mean: Floats = ((both[0] + both[1]) / 2).numpy()
    return mean
