"""Cross-fitting: judged by heads that never saw the pair, and never worse than the start."""

import dataclasses

import numpy as np
import pytest

from ncaudit.config import BankConfig, FitConfig, HeadsConfig
from ncaudit.matching.bank import draw_bank, score_against_bank
from ncaudit.matching.crossfit import CrossFit, cross_fit
from ncaudit.matching.fit_set import FitSet
from ncaudit.matching.folds import assign_folds, group_rows
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.planted import plant_mismatches
from tests.signals.latent_pairs import latent_pairs

PAIRS, WRONG = latent_pairs(600)
BANK = BankConfig(energy_batch=16, loss_batch=64, repeats=2)


def fit_set(pairs: Pairs = PAIRS) -> FitSet:
    block = assign_folds(group_rows(pairs.image_id), n_folds=6, seed=0)
    planted = plant_mismatches(pairs, block, n_runs=2, fraction=0.1, seed=0)
    drawn = draw_bank(len(pairs), BANK, seed=0)
    return FitSet(pairs, block % 3, block // 3, planted, drawn, 2)


def config(**heads: object) -> FitConfig:
    settings = {"folds": 3, "dim": 24, "pieces": (2,), "batch": 128, "learning_rate": 3e-3} | heads
    return FitConfig(heads=HeadsConfig(**settings), bank=BANK)  # type: ignore[arg-type]


def fitted(which: FitSet | None = None, *, aligned: bool = False, **heads: object) -> CrossFit:
    return cross_fit(which or SET, config(**heads), aligned=aligned, seed=0)


SET = fit_set()


@pytest.fixture(scope="module")
def crossed() -> CrossFit:
    return fitted()


def test_a_rate_that_harms_keeps_the_start() -> None:
    got = fitted(learning_rate=30.0)
    assert not got.is_trained
    assert got.heads_auroc == got.start_auroc


def test_judging_heads_are_never_worse_than_the_start(crossed: CrossFit) -> None:
    assert crossed.heads_auroc >= crossed.start_auroc
    assert crossed.is_trained == (crossed.heads_auroc > crossed.start_auroc)
    assert len(crossed.heads) == 3


def test_held_out_scores_come_from_the_heads_of_the_pairs_own_fold(crossed: CrossFit) -> None:
    rows = np.flatnonzero(SET.fold == 1)[:20]
    scores = score_against_bank(crossed.heads[1], PAIRS.take(rows), SET.bank, temperature=0.05)
    np.testing.assert_allclose(
        crossed.held_out.neg_clip_loss[rows], scores.neg_clip_loss, atol=1e-5
    )


def test_planted_pairs_are_judged_by_the_heads_of_their_fold_among_their_runs_captions(
    crossed: CrossFit,
) -> None:
    of_run = SET.planted.run == 1
    at = np.flatnonzero((SET.fold[SET.planted.row] == 2) & of_run)
    pairs = SET.planted.pairs(PAIRS).take(at)
    scores = score_against_bank(crossed.heads[2], pairs, SET.bank_of_run(1), temperature=0.05)
    np.testing.assert_allclose(
        crossed.held_out.neg_clip_loss[600:][at], scores.neg_clip_loss, atol=1e-5
    )


def test_heads_of_a_fold_have_not_seen_it() -> None:
    """Other captions in fold 0 leave the heads of fold 0 as they were."""
    held_out = np.flatnonzero(SET.fold == 0)
    captions = PAIRS.caption.copy()
    captions[held_out] = captions[held_out[::-1]]
    other = dataclasses.replace(SET, pairs=dataclasses.replace(PAIRS, caption=captions))
    maps = [
        fitted(each, pieces=(1,), learning_rate=1e-9, ridges=(1.0,)).heads for each in (SET, other)
    ]
    np.testing.assert_allclose(maps[0][0].image_map, maps[1][0].image_map, atol=2e-3)
    assert np.abs(maps[0][1].image_map - maps[1][1].image_map).max() > 2e-2


def test_both_kinds_of_towers_separate_planted_pairs(crossed: CrossFit) -> None:
    pairs, wrong = latent_pairs(600, aligned=True)
    aligned = fitted(fit_set(pairs), aligned=True)
    assert aligned.ridge is None
    assert crossed.ridge in HeadsConfig().ridges
    for each, mask in ((aligned, wrong), (crossed, WRONG)):
        loss = each.held_out.neg_clip_loss
        assert np.median(loss[:600][~mask]) > np.median(loss[600:])


def test_same_seed_gives_the_same_fit(crossed: CrossFit) -> None:
    again = fitted()
    np.testing.assert_array_equal(again.held_out.neg_clip_loss, crossed.held_out.neg_clip_loss)


def test_progress_is_told_once_a_fold() -> None:
    told: list[int] = []
    cross_fit(SET, config(pieces=(1,)), aligned=False, seed=0, on_fold=told.append)
    assert told == [1, 1, 1]
