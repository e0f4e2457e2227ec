"""Planted mismatches: exchanged within a fold, each pair in one run at most."""

import numpy as np
import pytest

from ncaudit.matching.folds import assign_folds, group_rows
from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.matching.planted import (
    Planted,
    observed_and_planted,
    plant_mismatches,
)
from ncaudit.types import Ints
from tests.signals.latent_pairs import latent_pairs


def planted_in(pairs: Pairs, seed: int = 0, fraction: float = 0.1) -> tuple[Planted, Ints]:
    fold = assign_folds(group_rows(pairs.image_id), n_folds=5, seed=0)
    return plant_mismatches(pairs, fold, n_runs=4, fraction=fraction, seed=seed), fold


ONE, _ = latent_pairs(600)
FIVE, _ = latent_pairs(600, captions=5)


@pytest.mark.parametrize("pairs", [ONE, FIVE], ids=["one caption", "five captions"])
@pytest.mark.parametrize("seed", [0, 1])
class TestEveryDraw:
    def test_no_pair_keeps_its_image_or_its_caption(self, pairs: Pairs, seed: int) -> None:
        planted, _ = planted_in(pairs, seed)
        assert len(planted) > 150
        assert np.all(pairs.image_id[planted.row] != pairs.image_id[planted.caption_row])
        assert np.all(pairs.caption_id[planted.row] != pairs.caption_id[planted.caption_row])

    def test_both_rows_lie_in_one_fold(self, pairs: Pairs, seed: int) -> None:
        planted, fold = planted_in(pairs, seed)
        np.testing.assert_array_equal(fold[planted.row], fold[planted.caption_row])

    def test_no_pair_is_replaced_twice(self, pairs: Pairs, seed: int) -> None:
        planted, _ = planted_in(pairs, seed)
        assert len(np.unique(planted.row)) == len(planted)

    def test_no_caption_is_given_twice(self, pairs: Pairs, seed: int) -> None:
        planted, _ = planted_in(pairs, seed)
        assert len(np.unique(planted.caption_row)) == len(planted)


def test_replaced_pairs_exchange_their_captions_among_themselves() -> None:
    planted, _ = planted_in(ONE)
    for run in range(4):
        at = planted.run == run
        np.testing.assert_array_equal(np.sort(planted.row[at]), np.sort(planted.caption_row[at]))


def test_fraction_is_the_share_of_pairs_replaced_in_each_run() -> None:
    planted, _ = planted_in(ONE, fraction=0.05)
    assert np.bincount(planted.run).tolist() == [30] * 4


def test_captions_shared_by_all_cannot_be_exchanged() -> None:
    same = Pairs(ONE.image, ONE.caption, ONE.image_id, np.zeros(600, np.uint64))
    assert len(planted_in(same)[0]) == 0


def test_a_run_knows_the_planted_captions_in_their_places() -> None:
    planted, _ = planted_in(ONE)
    source = planted.caption_row_in(2, len(ONE))
    changed = np.flatnonzero(source != np.arange(len(ONE)))
    assert set(changed.tolist()) == set(planted.row[planted.run == 2].tolist())
    np.testing.assert_array_equal(np.sort(source), np.arange(len(ONE)))


def test_planted_pairs_follow_the_observed_ones() -> None:
    planted, _ = planted_in(ONE)
    both = observed_and_planted(ONE, planted)
    assert len(both) == 600 + len(planted)
    np.testing.assert_array_equal(both.image_id[600:], ONE.image_id[planted.row])
    np.testing.assert_array_equal(both.caption[600:], ONE.caption[planted.caption_row])


def test_all_captions_of_an_image_move_together() -> None:
    planted, _ = planted_in(FIVE)
    image, counts = np.unique(FIVE.image_id[planted.row], return_counts=True)
    assert set(counts.tolist()) == {5}
    for each in image:
        at = FIVE.image_id[planted.row] == each
        assert len(np.unique(FIVE.image_id[planted.caption_row[at]])) == 1


def test_images_with_one_and_with_several_captions_are_planted_alike() -> None:
    mixed = concatenate([ONE, Pairs(FIVE.image, FIVE.caption, *shifted(FIVE))])
    fold = assign_folds(group_rows(mixed.image_id), n_folds=2, seed=0)
    planted = plant_mismatches(mixed, fold, n_runs=2, fraction=0.3, seed=0)
    of_one = np.mean(planted.row < len(ONE))
    assert 0.4 < of_one < 0.6


def shifted(pairs: Pairs) -> tuple[Ints, Ints]:
    far = np.uint64(1 << 40)
    return pairs.image_id + far, pairs.caption_id + far


@pytest.mark.parametrize("together", [0.0, 0.4])
def test_the_share_that_moves_together_can_be_chosen(together: float) -> None:
    fold = assign_folds(group_rows(FIVE.image_id), n_folds=5, seed=0)
    planted = plant_mismatches(FIVE, fold, n_runs=3, fraction=0.1, seed=0, together=together)
    run_and_image = np.stack([planted.run.astype(np.uint64), FIVE.image_id[planted.row]])
    _, at, counts = np.unique(run_and_image, axis=1, return_inverse=True, return_counts=True)
    whole = np.mean(counts[at] == 5)
    assert abs(whole - together) < 0.06
    assert len(np.unique(planted.row)) == len(planted) > 0.25 * len(FIVE)
    np.testing.assert_array_equal(fold[planted.row], fold[planted.caption_row])


def test_one_caption_alone_moves_as_a_whole_image_does() -> None:
    fold = assign_folds(group_rows(ONE.image_id), n_folds=5, seed=0)
    planted = plant_mismatches(ONE, fold, n_runs=3, fraction=0.1, seed=0, together=0.0)
    assert np.all(ONE.image_id[planted.row] != ONE.image_id[planted.caption_row])
    assert len(planted) == 180
