"""Neighbours are those that comparing all with all would find."""

import numpy as np
import pytest

from ncaudit.audit.bench.lemon import LemonTask, lemon_fixed, lemon_tuned
from ncaudit.audit.bench.loss_mixture import noisy_posterior
from ncaudit.audit.bench.neighbours import both_neighbours
from ncaudit.matching.heads import unit_rows
from ncaudit.matching.lemon import Neighbours, neighbour_discrepancy
from ncaudit.matching.pairs import Pairs


def made_up(n_images: int = 40, per_image: int = 3, seed: int = 0) -> tuple[Pairs, np.ndarray]:
    """Return pairs, some captions shared by several images, and a distance for each."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(n_images), per_image)
    caption = rng.integers(0, 80, len(image))
    pairs = Pairs(
        unit_rows(rng.normal(size=(n_images, 6)).astype(np.float32))[image],
        unit_rows(rng.normal(size=(80, 5)).astype(np.float32))[caption],
        image.astype(np.uint64),
        caption.astype(np.uint64),
    )
    return pairs, rng.random(len(image))


def plain(pairs: Pairs, vectors: np.ndarray, row: int) -> np.ndarray:
    """Return the cosines of all that may be a neighbour of `row`, highest first."""
    allowed = pairs.image_id != pairs.image_id[row]
    allowed &= pairs.caption_id != pairs.caption_id[row]
    return np.sort((vectors @ vectors[row])[allowed])[::-1]


@pytest.mark.parametrize("k", [1, 7, 30])
def test_neighbours_are_the_nearest_that_share_neither_image_nor_caption(k: int) -> None:
    pairs, distance = made_up()
    found = both_neighbours(pairs, distance, k=k)
    for near, vectors in zip(found, (pairs.image, pairs.caption), strict=True):
        assert near.distance.shape == (len(pairs), k)
        for row in range(len(pairs)):
            expected = -plain(pairs, vectors, row)[:k]
            assert near.distance[row] == pytest.approx(expected, abs=1e-5)


def test_neighbours_bring_their_own_distance_and_that_of_their_partner() -> None:
    pairs, distance = made_up(per_image=1)
    near, _ = both_neighbours(pairs, distance, k=1)
    cosine = pairs.image @ pairs.image.T
    cosine[pairs.image_id[:, None] == pairs.image_id] = -2
    cosine[pairs.caption_id[:, None] == pairs.caption_id] = -2
    best = cosine.argmax(1)
    assert near.pair_distance[:, 0] == pytest.approx(distance[best])
    expected = 1 - (pairs.caption * pairs.caption[best]).sum(1)
    assert near.partner_distance[:, 0] == pytest.approx(expected, abs=1e-5)


def test_where_there_are_fewer_pairs_than_neighbours_the_rest_is_left_out() -> None:
    pairs, distance = made_up(n_images=4, per_image=1)
    near, _ = both_neighbours(pairs, distance, k=10)
    assert near.left_out is not None
    assert (near.left_out.sum(1) >= 7).all()
    assert np.isfinite(neighbour_discrepancy(distance, near, near)).all()


def lemon_task(seed: int = 0, n: int = 400) -> tuple[LemonTask, np.ndarray]:
    """Return neighbours that know the truth, beside distances that do not."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    say = rng.normal(1.0, 0.2, (n, 50)) + truth[:, None]
    near = Neighbours(np.full((n, 50), -0.9), say, rng.random((n, 50)))
    return LemonTask(rng.random(n), near, near), truth


def test_fixed_lemon_asks_the_first_thirty() -> None:
    task, _ = lemon_task()
    near = task.image
    first = Neighbours(
        near.distance[:, :30], near.partner_distance[:, :30], near.pair_distance[:, :30]
    )
    expected = neighbour_discrepancy(task.pair_distance, first, first)
    assert lemon_fixed(task) == pytest.approx(expected)


def test_tuning_gives_the_neighbours_the_weight_they_deserve() -> None:
    from sklearn.metrics import roc_auc_score

    task, truth = lemon_task()
    score, rest = lemon_tuned(task, truth, seed=0)
    tuned = roc_auc_score(truth[rest], score[rest])
    assert tuned > roc_auc_score(truth[rest], task.pair_distance[rest]) + 0.3


def test_tuning_sees_labels_of_a_tenth_and_reports_on_the_others() -> None:
    task, truth = lemon_task()
    score, rest = lemon_tuned(task, truth, seed=0)
    assert len(rest) == 360
    turned = truth.copy()
    turned[rest] = ~turned[rest]
    again, _ = lemon_tuned(task, turned, seed=0)
    assert (again == score).all()


def test_the_mixture_gives_high_losses_to_the_noisy_component() -> None:
    rng = np.random.default_rng(0)
    loss = np.append(rng.normal(1, 0.2, 300), rng.normal(4, 0.5, 200))
    posterior = noisy_posterior(loss, seed=0)
    assert ((posterior > 0.5) == (np.arange(500) >= 300)).mean() > 0.99
    assert posterior.mean() == pytest.approx(0.4, abs=0.02)


def test_the_mixture_of_equal_losses_does_not_fail() -> None:
    assert np.isfinite(noisy_posterior(np.full(50, 2.0), seed=0)).all()
