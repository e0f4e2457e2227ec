import numpy as np
import pytest
from scipy.stats import binomtest

from ncaudit.calibration.review_queue import (
    QueuedPair,
    QueueDraw,
    strata_of,
    stratum_name,
    weighted_share,
)
from ncaudit.types import Floats


def draw(p: Floats, n_pairs: int, *, seed: int = 0, n_parts: int = 1) -> list[QueuedPair]:
    queue = QueueDraw(n_pairs, seed)
    for part, piece in enumerate(np.array_split(p, n_parts)):
        queue.add(part, np.arange(len(piece)), piece)
    return queue.queue()


def skewed(n: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).beta(0.3, 2.0, n)


def test_a_third_is_uniform_and_each_tenth_of_the_scale_gets_its_share() -> None:
    queue = draw(np.arange(10_000) / 10_000, 300)
    counts = np.bincount([x.stratum for x in queue], minlength=10)
    assert 290 <= len(queue) <= 300
    assert counts.min() >= 20


def test_rare_uncertain_pairs_are_seen() -> None:
    p = np.append(np.zeros(100_000), [0.55] * 5)
    assert sum(x.stratum == 5 for x in draw(p, 300)) == 5


def test_three_pairs_are_all_in_the_queue_with_weight_one() -> None:
    queue = draw(np.array([0.1, 0.5, 0.9]), 300)
    assert sorted((x.row, x.weight) for x in queue) == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_no_pairs_give_an_empty_queue() -> None:
    assert draw(np.zeros(0), 300) == []


def test_weights_are_inverse_inclusion_probabilities() -> None:
    p = np.append(np.full(900, 0.05), np.full(100, 0.95))
    weights = {x.stratum: x.weight for x in draw(p, 60)}
    # 20 uniform of 1000; 40 from two strata, 20 each: 1 - 0.98 * (1 - 20 / 900), and / 100.
    assert weights == pytest.approx({0: 1 / (1 - 0.98 * (1 - 20 / 900)), 9: 1 / (1 - 0.98 * 0.8)})


@pytest.mark.slow
def test_the_weighted_share_is_unbiased_over_many_draws() -> None:
    p = skewed(3000)
    wrong = np.random.default_rng(5).random(3000) < p
    totals = [sum(x.weight * wrong[x.row] for x in draw(p, 90, seed=seed)) for seed in range(150)]
    error = np.std(totals) / np.sqrt(len(totals))
    assert abs(np.mean(totals) - wrong.sum()) < 3 * error


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    p = skewed(3000)
    wrong = np.random.default_rng(5).random(3000) < p
    hits = 0
    for seed in range(100):
        queue = draw(p, 150, seed=seed)
        share = weighted_share(wrong[[x.row for x in queue]], np.array([x.weight for x in queue]))
        assert share is not None
        hits += share.low <= wrong.mean() <= share.high
    assert hits >= 88


def test_a_longer_queue_holds_the_shorter_one() -> None:
    p = skewed(2000)
    short, long = ({x.row for x in draw(p, n)} for n in (60, 240))
    assert short <= long


def test_the_queue_is_the_same_for_the_same_seed_alone() -> None:
    p = skewed(500)
    assert draw(p, 60) == draw(p, 60) != draw(p, 60, seed=1)


def test_all_parts_are_drawn_from() -> None:
    queue = draw(skewed(4000), 200, n_parts=4)
    assert {x.part for x in queue} == {0, 1, 2, 3}


def test_the_ends_of_the_scale_belong_to_its_tenths() -> None:
    assert strata_of(np.array([0.0, 0.1, 0.999, 1.0])).tolist() == [0, 1, 9, 9]
    assert [stratum_name(at) for at in (0, 9)] == ["0.0-0.1", "0.9-1.0"]


def test_equal_weights_give_clopper_pearson_s_interval() -> None:
    share = weighted_share(np.arange(400) < 120, np.full(400, 7.0))
    exact = binomtest(120, 400).proportion_ci()
    assert share is not None
    # One pair is lost to the variance's n - 1.
    assert (share.estimate, share.low, share.high) == pytest.approx(
        (0.3, exact.low, exact.high), abs=2e-4
    )


@pytest.mark.parametrize(("value", "low", "high"), [(True, 0.6915, 1.0), (False, 0.0, 0.3085)])
def test_agreement_does_not_make_certain(value: bool, low: float, high: float) -> None:
    share = weighted_share(np.full(10, value), np.ones(10))
    assert share is not None
    assert (share.estimate, share.low, share.high) == pytest.approx(
        (float(value), low, high), abs=1e-3
    )


def test_no_verdicts_give_no_estimate() -> None:
    assert weighted_share(np.zeros(0, bool), np.zeros(0)) is None
