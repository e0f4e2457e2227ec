"""Reference banks: a pair's numbers depend on the pair and the bank, on nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from ncaudit.config import BankConfig
from ncaudit.matching import bank as bank_module
from ncaudit.matching.bank import (
    BankScores,
    ReferenceBank,
    draw_bank,
    loss_against_bank,
    score_against_bank,
)
from ncaudit.matching.energy import swapped_cross_entropy
from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import moments_of
from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.matching.start import ridge_cca
from tests.signals.latent_pairs import latent_pairs

TAU = 0.05
PAIRS, WRONG = latent_pairs(400)
HEADS = ridge_cca(moments_of(PAIRS, aligned=False), dim=20, ridge=1.0)
BANK = draw_bank(len(PAIRS), BankConfig(energy_batch=16, loss_batch=64, repeats=3), seed=0).of(
    PAIRS
)


def scored(pairs: Pairs, bank: ReferenceBank = BANK) -> BankScores:
    return score_against_bank(HEADS, pairs, bank, temperature=TAU)


def assert_same(left: BankScores, right: BankScores, rows: object = slice(None)) -> None:
    for field in dataclasses.fields(BankScores):
        expected = getattr(right, field.name)[rows]
        np.testing.assert_allclose(
            getattr(left, field.name), expected, rtol=1e-5, atol=2e-6, err_msg=field.name
        )


WHOLE = scored(PAIRS)


@pytest.mark.parametrize("size", [13, 37, 399])
def test_chunks_give_what_one_piece_gives(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_module, "CHUNK_ROWS", size)
    assert_same(scored(PAIRS), WHOLE)


def test_scores_do_not_depend_on_who_shares_the_call() -> None:
    for rows in (np.array([3]), np.arange(100, 250), np.random.default_rng(0).permutation(400)):
        assert_same(scored(PAIRS.take(rows)), WHOLE, rows)


def test_repeating_a_pair_changes_nothing_for_the_others() -> None:
    rows = np.array([0, 0, 0, 1, 2])
    assert_same(scored(PAIRS.take(rows)), WHOLE, rows)


def test_no_pairs_have_no_scores() -> None:
    assert len(scored(PAIRS.take(np.arange(0))).similarity) == 0


@pytest.mark.parametrize("shared", ["image_id", "caption_id"])
def test_bank_pairs_of_the_same_image_or_caption_are_left_out(shared: str) -> None:
    one = PAIRS.take(np.array([5]))
    others = [at for at in range(400) if at != 5]
    alone = ReferenceBank(PAIRS.take(np.array(others[:30])), 1, 30, 30)
    twin = PAIRS.take(np.array([7] * 4))
    ids = {"image_id": twin.image_id, "caption_id": twin.caption_id}
    ids[shared] = np.repeat(getattr(one, shared), 4)
    crowded = concatenate([alone.pairs, Pairs(one.image[[0] * 4], one.caption[[0] * 4], **ids)])
    assert_same(scored(one, ReferenceBank(crowded, 1, 34, 34)), scored(one, alone))


def by_hand(row: int) -> dict[str, float]:
    """Plain float64 formulas, one bank after the other."""
    image, caption = (side.astype(np.float64) for side in HEADS.project(PAIRS))
    bank = [side.astype(np.float64) for side in HEADS.project(BANK.pairs)]
    own = image[row] @ caption[row]
    found: dict[str, list[float]] = {
        "neg_clip_loss": [],
        "match_probability": [],
        "energy_i2t": [],
    }
    for repeat in range(BANK.repeats):
        at = np.arange(repeat * BANK.size, (repeat + 1) * BANK.size)
        free = BANK.pairs.image_id[at] != PAIRS.image_id[row]
        free &= BANK.pairs.caption_id[at] != PAIRS.caption_id[row]
        i2t = np.append(own, bank[1][at[free]] @ image[row]) / TAU
        t2i = np.append(own, bank[0][at[free]] @ caption[row]) / TAU
        sums = np.log(np.exp(i2t).sum()), np.log(np.exp(t2i).sum())
        found["neg_clip_loss"].append(own - TAU / 2 * (sums[0] + sums[1]))
        match = np.exp(own / TAU - sums[0]) + np.exp(own / TAU - sums[1])
        found["match_probability"].append(match / 2)
        narrow = free[: BANK.energy_size]
        few = np.append(own, bank[1][at[: BANK.energy_size][narrow]] @ image[row]) / TAU
        found["energy_i2t"].append(-TAU * np.log(np.exp(few).sum()))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("row", [0, 11, 250])
def test_numbers_follow_their_formulas(row: int) -> None:
    for name, expected in by_hand(row).items():
        assert getattr(WHOLE, name)[row] == pytest.approx(expected, abs=1e-5), name


def test_signals_stay_in_their_ranges() -> None:
    assert np.all(np.abs(WHOLE.similarity) <= 1 + 1e-6)
    assert np.all(WHOLE.neg_clip_loss <= 1e-6)
    assert np.all((WHOLE.match_probability >= 0) & (WHOLE.match_probability <= 1 + 1e-6))
    assert np.all(WHOLE.swapped_entropy >= 0)
    np.testing.assert_allclose(WHOLE.uncertainty, (WHOLE.energy_i2t + WHOLE.energy_t2i) / 2)


def test_mismatches_score_worse() -> None:
    assert WHOLE.neg_clip_loss[WRONG].mean() < WHOLE.neg_clip_loss[~WRONG].mean()
    assert WHOLE.match_probability[WRONG].mean() < WHOLE.match_probability[~WRONG].mean()


def test_quick_loss_is_the_loss_against_the_first_bank() -> None:
    first = ReferenceBank(BANK.pairs.take(np.arange(BANK.size)), 1, BANK.size, BANK.energy_size)
    got = loss_against_bank(HEADS, PAIRS, BANK, temperature=TAU)
    np.testing.assert_allclose(got, scored(PAIRS, first).neg_clip_loss, atol=2e-6)


def test_swapped_entropy_follows_its_formula() -> None:
    row, found = 11, []
    image, caption = HEADS.project(PAIRS)
    bank = HEADS.project(BANK.pairs)
    for repeat in range(BANK.repeats):
        at = np.arange(repeat * BANK.size, repeat * BANK.size + BANK.energy_size)
        at = at[BANK.pairs.image_id[at] != PAIRS.image_id[row]]
        own = image[row] @ caption[row]
        i2t = torch.tensor(np.append(own, bank[1][at] @ image[row])) / TAU
        t2i = torch.tensor(np.append(own, bank[0][at] @ caption[row])) / TAU
        log_p, log_q = (torch.log_softmax(logits, 0)[None] for logits in (i2t, t2i))
        found.append(float(swapped_cross_entropy(log_p, log_q)[2]))
    assert WHOLE.swapped_entropy[row] == pytest.approx(np.mean(found), rel=1e-4)


def test_bank_is_drawn_by_the_seed_without_repeats_inside_one() -> None:
    config = BankConfig(energy_batch=16, loss_batch=64, repeats=3)
    again, other = (draw_bank(len(PAIRS), config, seed=seed).of(PAIRS) for seed in (0, 1))
    np.testing.assert_array_equal(again.pairs.image_id, BANK.pairs.image_id)
    assert not np.array_equal(other.pairs.image_id, BANK.pairs.image_id)
    for part in np.split(BANK.pairs.image_id, 3):
        assert len(np.unique(part)) == 63


def test_few_pairs_shrink_the_banks() -> None:
    bank = draw_bank(20, BankConfig(), seed=0).of(PAIRS.take(np.arange(20)))
    assert (bank.size, bank.energy_size, bank.repeats, len(bank.pairs)) == (10, 10, 4, 40)


def test_a_bank_of_nothing_but_duplicates_leaves_the_pair_alone() -> None:
    """Against no rival the match is certain: loss 0, probability 1."""
    one = PAIRS.take(np.array([5]))
    got = scored(one, ReferenceBank(one.take(np.zeros(8, int)), 1, 8, 8))
    assert got.neg_clip_loss[0] == pytest.approx(0, abs=1e-6)
    assert got.match_probability[0] == pytest.approx(1, abs=1e-5)


def test_heads_are_not_changed_by_scoring() -> None:
    before = HEADS.image_map.copy()
    scored(PAIRS)
    assert isinstance(HEADS, Heads)
    np.testing.assert_array_equal(HEADS.image_map, before)
