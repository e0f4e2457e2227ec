"""Folds: whole images, about equal sizes, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ncaudit.matching.folds import assign_folds, group_rows


def test_pairs_of_one_image_are_one_group() -> None:
    got = group_rows(np.array([7, 9, 7, 2**63, 9], np.uint64))
    np.testing.assert_array_equal(got, [0, 1, 0, 2, 1])


def test_near_duplicates_join_their_groups_through_each_other() -> None:
    near = np.array([0, 1]), np.array([1, 3])
    got = group_rows(np.array([10, 11, 12, 13, 10], np.uint64), near)
    assert got[0] == got[1] == got[3] == got[4]
    assert got[2] != got[0]


@given(st.lists(st.integers(0, 20), min_size=40, max_size=120), st.integers(0, 5))
def test_no_image_is_in_two_folds_and_every_fold_is_used(images: list[int], seed: int) -> None:
    group = group_rows(np.array([*range(10), *images], np.uint64))
    fold = assign_folds(group, n_folds=5, seed=seed)
    assert set(fold.tolist()) == set(range(5))
    for each in np.unique(group):
        assert len(set(fold[group == each].tolist())) == 1


def test_folds_of_single_images_are_equal() -> None:
    fold = assign_folds(np.arange(103), n_folds=5, seed=3)
    assert sorted(np.bincount(fold).tolist()) == [20, 20, 21, 21, 21]


def test_seed_decides_the_folds() -> None:
    group = np.arange(100)
    first, again, other = (assign_folds(group, n_folds=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fewer_images_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="3 groups for 5 folds"):
        assign_folds(np.array([0, 0, 1, 2]), n_folds=5, seed=0)
