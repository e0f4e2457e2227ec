"""Taking part in training: planted mismatches go through what the pairs go through."""

import numpy as np
import pytest

from ncaudit.matching.crossfit import cross_fit
from ncaudit.matching.participation import Participations, take_part
from tests.matching.test_crossfit import PAIRS, SET, WRONG, config


@pytest.fixture(scope="module")
def parts() -> Participations:
    settings = config()
    crossed = cross_fit(SET, settings, aligned=False, seed=0)
    return take_part(SET, crossed, settings, seed=0)


def test_a_pair_takes_part_in_every_run_that_does_not_replace_it(parts: Participations) -> None:
    assert len(parts.observed) == 2
    for run, part in enumerate(parts.observed):
        absent = np.zeros(len(PAIRS), bool)
        absent[SET.planted.row[SET.planted.run == run]] = True
        for values in (part.label, part.loss, part.match, part.history[0]):
            np.testing.assert_array_equal(np.isnan(values), absent)


def test_every_planted_pair_took_part_once(parts: Participations) -> None:
    for values in (parts.planted.label, parts.planted.loss, parts.planted.match):
        assert values.shape == (len(SET.planted),)
        assert np.isfinite(values).all()
    np.testing.assert_array_equal(parts.planted.history[-1], parts.planted.label)


def test_labels_of_planted_pairs_end_lower(parts: Participations) -> None:
    observed = np.nanmean([part.label for part in parts.observed], axis=0)
    assert parts.planted.label.mean() < observed[~WRONG].mean() - 0.2


def test_progress_is_told_once_a_run() -> None:
    told: list[int] = []
    settings = config(pieces=(1,))
    crossed = cross_fit(SET, settings, aligned=False, seed=0)
    take_part(SET, crossed, settings, seed=0, on_run=told.append)
    assert told == [1, 1]
