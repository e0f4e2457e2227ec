"""The sample the model is fitted on."""

import numpy as np
import pytest

from ncaudit.audit.fit_sample import draw_sample
from ncaudit.types import ShardTally

TALLIES = [
    ShardTally(name, n + 1, n, {"not_an_image": 1})
    for name, n in [("a", 400), ("b", 0), ("c/0", 250), ("c/1", 350)]
]


def test_few_pairs_are_all_taken() -> None:
    sample = draw_sample(TALLIES, 1000, seed=0)
    assert sample.n_pairs == 1000
    rows = np.concatenate([sample.rows(tally) for tally in TALLIES])
    assert rows.tolist() == list(range(1000))


@pytest.mark.parametrize("n_wanted", [1, 10, 999])
def test_a_sample_has_the_size_that_was_asked_for(n_wanted: int) -> None:
    sample = draw_sample(TALLIES, n_wanted, seed=0)
    rows = np.concatenate([sample.rows(tally) for tally in TALLIES])
    assert sample.n_pairs == n_wanted
    assert rows[rows >= 0].tolist() == list(range(n_wanted))


def test_the_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    def taken(tallies: list[ShardTally], seed: int) -> set[tuple[str, int]]:
        sample = draw_sample(tallies, 300, seed)
        return {
            (tally.shard, int(row))
            for tally in tallies
            for row in np.flatnonzero(sample.rows(tally) >= 0)
        }

    assert taken(TALLIES, 0) == taken(TALLIES[::-1], 0)
    assert taken(TALLIES, 0) != taken(TALLIES, 1)


def test_every_shard_has_its_share() -> None:
    sample = draw_sample(TALLIES, 500, seed=0)
    shares = [(sample.rows(tally) >= 0).mean() for tally in TALLIES if tally.n_scored]
    assert all(0.4 < share < 0.6 for share in shares)
