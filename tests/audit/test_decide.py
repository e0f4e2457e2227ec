import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ncaudit.audit.decide import (
    Human,
    Outcome,
    decide,
    threshold_for_loss,
    threshold_to_keep,
)
from ncaudit.types import Floats

K, D, R = Outcome.KEPT, Outcome.DROPPED, Outcome.REJECTED
NAN = math.nan

# Sixteenths add up exactly, so that plain sums can be the reference.
sixteenths = st.lists(st.integers(0, 16).map(lambda n: n / 16), min_size=1, max_size=40)


def in_parts(values: list[float]) -> list[Floats]:
    return [np.array(values[:3]), np.array(values[3:])]


def decided(p: list[float], threshold: float, human: list[Human] | None = None) -> list[int]:
    scored = np.array([value != -1 for value in p])
    humans = np.array(human or [Human.SILENT] * len(p), np.int8)
    return decide(scored, np.array(p), threshold, humans).tolist()


def test_a_pair_at_the_threshold_is_dropped() -> None:
    assert decided([0.49, 0.5, 0.51], 0.5) == [K, D, D]


def test_a_pair_that_was_not_scored_is_rejected_whatever_is_said() -> None:
    assert decided([-1, -1], 0.5, [Human.MATCH, Human.MISMATCH]) == [R, R]


def test_a_person_outranks_the_threshold() -> None:
    assert decided([0.9, 0.1, 0.9], 0.5, [Human.MATCH, Human.MISMATCH, Human.SILENT]) == [K, D, D]


def test_a_scored_pair_without_a_probability_stays() -> None:
    assert decided([NAN, NAN], 0.0, [Human.SILENT, Human.MISMATCH]) == [K, D]


def test_a_repairable_pair_is_rematched_where_it_would_be_dropped() -> None:
    human = [Human.SILENT, Human.SILENT, Human.MATCH, Human.MISMATCH, Human.REMATCH]
    p = np.array([0.9, 0.1, 0.9, 0.9, 0.1])
    scored, able = np.ones(5, bool), np.ones(5, bool)
    outcome = decide(scored, p, 0.5, np.array(human, np.int8), able)
    rematched = Outcome.REMATCHED
    assert outcome.tolist() == [rematched, K, K, D, rematched]
    assert decide(~scored, p, 0.5, np.array(human, np.int8), able).tolist() == [R] * 5


def test_a_person_who_wants_a_rematch_drops_what_cannot_be_repaired() -> None:
    assert decided([0.1], 0.5, [Human.REMATCH]) == [D]


@pytest.mark.parametrize(
    ("fraction", "n_kept"), [(0.0, 0), (0.2, 1), (0.21, 3), (0.6, 3), (0.8, 4), (1.0, 5)]
)
def test_keeping_a_fraction_keeps_ties_together(fraction: float, n_kept: int) -> None:
    p = [0.1, 0.3, 0.3, 0.7, 1.0]
    threshold = threshold_to_keep(lambda: in_parts(p), fraction)
    assert decided(p, threshold).count(K) == n_kept


@given(sixteenths, st.floats(0, 1))
def test_the_kept_fraction_is_the_smallest_that_is_enough(p: list[float], f: float) -> None:
    threshold = threshold_to_keep(lambda: in_parts(p), f)
    n_wanted = math.ceil(round(f * len(p), 6))
    kept = [value for value in p if value < threshold]
    assert len(kept) >= n_wanted
    assert sum(value < max(kept) for value in kept) < n_wanted if kept else n_wanted == 0


@given(sixteenths, st.floats(0, 1))
def test_the_loss_is_within_the_limit_and_one_more_value_is_not(p: list[float], f: float) -> None:
    threshold = threshold_for_loss(lambda: in_parts(p), f)
    allowed = f * sum(1 - value for value in p) + 1e-9 * max(1, len(p))
    assert sum(1 - value for value in p if value >= threshold) <= allowed
    kept = [value for value in p if value < threshold]
    if kept:
        assert sum(1 - value for value in p if value >= max(kept)) > allowed - 1e-7


def test_values_that_nearly_agree_are_told_apart() -> None:
    p = [0.5 + i * 1e-12 for i in range(100)]
    threshold = threshold_to_keep(lambda: in_parts(p), 0.37)
    assert decided(p, threshold).count(K) == 37


def test_pairs_without_a_probability_do_not_count() -> None:
    def read() -> Iterable[Floats]:
        return [np.array([NAN, 0.1, 0.9]), np.array([]), np.array([NAN])]

    assert threshold_to_keep(read, 0.5) == 0.9
    assert threshold_for_loss(read, 0.2) == 0.9
