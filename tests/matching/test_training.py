"""The training loop: lower loss, honest labels, the same result for the same seed."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from ncaudit.config import HeadsConfig, SremConfig
from ncaudit.matching import training
from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import moments_of
from ncaudit.matching.objectives import crcl_loss, srem_loss
from ncaudit.matching.start import ridge_cca
from ncaudit.matching.training import Trained, train_heads
from tests.signals.latent_pairs import latent_pairs

PAIRS, WRONG = latent_pairs(600)
START = ridge_cca(moments_of(PAIRS, aligned=False), dim=24, ridge=3.0)
CONFIG = HeadsConfig(pieces=(3,), batch=128, learning_rate=3e-3)
LABELS = np.ones(600, np.float32)
FIRST = np.random.default_rng(4).random(600).astype(np.float32)


MARGINS = (-0.6, -0.1)
SREM: dict[str, Any] = {
    "objective": "srem",
    "learning_rate": 1e-2,
    "srem": SremConfig(margins=MARGINS),
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "acl": {},
    "cbcl": {"complement": "cbcl", "complement_weight": 1.0},
    "srem": SREM,
    "srem, warmed up": SREM | {"warmup": 1, "pieces": (2,)},
    "srem, strict": SREM
    | {
        "complement_bias": "dissimilar",
        "srem": SremConfig(filtration="margin", threshold=-0.3, top1=True, margins=MARGINS),
    },
}


def trained(seed: int = 0, **settings: Any) -> Trained:
    return train_heads(START, PAIRS, LABELS, dataclasses.replace(CONFIG, **settings), seed=seed)


TRAINED = trained()


def loss(heads: Heads, config: HeadsConfig) -> float:
    """The loss over all pairs at once, with right pairs labelled right."""
    image, caption = (torch.from_numpy(side) for side in heads.project(PAIRS))
    right = torch.from_numpy(~WRONG)
    if config.objective == "crcl":
        return float(crcl_loss(image @ caption.T, right.float(), config).mean())
    return float(srem_loss(image @ caption.T, right, config, margins=MARGINS))


@pytest.mark.parametrize("settings", OBJECTIVES.values(), ids=OBJECTIVES)
def test_training_lowers_the_loss(settings: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **settings)
    assert loss(trained(**settings).checkpoints[-1], config) < 0.98 * loss(START, config)


@pytest.mark.parametrize("settings", OBJECTIVES.values(), ids=OBJECTIVES)
def test_labels_follow_the_pairs_under_every_objective(settings: dict[str, Any]) -> None:
    labels = trained(**settings).labels
    assert labels.shape == (3, 600)
    assert np.all((labels >= 0) & (labels <= 1))
    assert labels[-1][WRONG].mean() < labels[-1][~WRONG].mean() - 0.1


def equal_heads(left: Heads, right: Heads, *, atol: float = 2e-5) -> None:
    for name in ("image_map", "caption_map"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), atol=atol)


@pytest.mark.parametrize("settings", [OBJECTIVES["acl"], OBJECTIVES["cbcl"]], ids=["acl", "cbcl"])
def test_order_of_the_pairs_in_a_batch_does_not_matter(settings: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, batch=600, **settings)
    order = np.random.default_rng(5).permutation(600)
    plain = train_heads(START, PAIRS, FIRST, config, seed=0)
    moved = train_heads(START, PAIRS.take(order), FIRST[order], config, seed=0)
    np.testing.assert_allclose(moved.labels, plain.labels[:, order], atol=1e-4)
    equal_heads(moved.checkpoints[-1], plain.checkpoints[-1])


def test_every_piece_starts_again_with_the_labels_of_the_last() -> None:
    """In one batch of all pairs chance has no say, so two pieces are two trainings."""
    config = dataclasses.replace(CONFIG, batch=600, pieces=(2,))
    first = train_heads(START, PAIRS, FIRST, config, seed=0)
    second = train_heads(START, PAIRS, first.labels[-1], config, seed=0)
    whole = train_heads(START, PAIRS, FIRST, dataclasses.replace(config, pieces=(2, 2)), seed=0)
    np.testing.assert_allclose(
        whole.labels, np.concatenate([first.labels, second.labels]), atol=1e-4
    )
    assert len(whole.checkpoints) == 2
    for got, expected in zip(whole.checkpoints, second.checkpoints, strict=True):
        equal_heads(got, expected)


def test_published_schedule_freezes_initialises_and_blends() -> None:
    result = trained(pieces=(1, 2), warmup=2, labels_from="ones", noise_guard=0.0)
    labels = result.labels
    assert labels.shape == (7, 600)
    assert len(result.checkpoints) == 4
    np.testing.assert_array_equal(labels[0], 1)
    assert 0 < labels[1].min() < 0.1  # p itself: the floor acts where labels are used
    floored = np.where(labels[2] < 0.1, 0, labels[2])
    np.testing.assert_array_equal(labels[3], floored)
    np.testing.assert_array_equal(labels[4], floored)
    assert not np.array_equal(labels[5], floored)


def test_large_sets_are_passed_over_less_often_but_once_at_least() -> None:
    config = HeadsConfig(pieces=(4, 2), most_visits=1200)
    assert config.for_size(300).pieces == (4, 2)
    assert config.for_size(600).pieces == (2, 2)
    assert config.for_size(5000).pieces == (1, 1)


def test_labels_can_start_from_ones_whatever_is_given() -> None:
    given_zeros = train_heads(
        START, PAIRS, 0 * LABELS, dataclasses.replace(CONFIG, labels_from="ones"), seed=0
    )
    np.testing.assert_array_equal(given_zeros.labels, TRAINED.labels)


def test_guard_replaces_the_labels_after_the_first_warm_up_only() -> None:
    plain, guarded = (
        trained(pieces=(1, 1), warmup=1, labels_from="ones", noise_guard=guard).labels
        for guard in (0.0, 1.0)
    )
    assert not np.array_equal(plain[0], guarded[0])
    assert np.all((guarded >= 0) & (guarded <= 1))
    np.testing.assert_array_equal(guarded[2], np.where(guarded[1] < 0.1, 0, guarded[1]))


def test_filtration_never_looks_at_all_pairs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    measure = training.relative_uncertainty

    def noting(similarity: torch.Tensor, **settings: Any) -> torch.Tensor:
        sizes.append(len(similarity))
        return measure(similarity, **settings)

    monkeypatch.setattr(training, "relative_uncertainty", noting)
    trained(objective="srem", batch=600, pieces=(1,))
    assert sizes == [300, 300] * SremConfig().repeats


def test_there_is_a_checkpoint_and_a_row_of_labels_for_each_epoch() -> None:
    assert len(TRAINED.checkpoints) == 3
    assert TRAINED.labels.shape == (3, 600)
    assert TRAINED.labels.dtype == np.float32


def test_seed_decides_the_training() -> None:
    again, other = trained(), trained(1)
    np.testing.assert_array_equal(again.labels, TRAINED.labels)
    for name in ("image_map", "caption_map"):
        expected = getattr(TRAINED.checkpoints[-1], name)
        np.testing.assert_array_equal(getattr(again.checkpoints[-1], name), expected)
        assert not np.array_equal(getattr(other.checkpoints[-1], name), expected)


def test_start_and_first_labels_are_not_changed() -> None:
    before = START.image_map.copy()
    trained()
    np.testing.assert_array_equal(START.image_map, before)
    np.testing.assert_array_equal(LABELS, np.ones(600, np.float32))


def test_checkpoints_do_not_share_memory() -> None:
    maps = [heads.image_map for heads in TRAINED.checkpoints]
    assert not np.array_equal(maps[0], maps[-1])
    assert not np.shares_memory(maps[0], maps[1])


def test_fewer_pairs_than_a_batch_are_one_batch() -> None:
    few = train_heads(START, PAIRS.take(np.arange(50)), LABELS[:50], CONFIG, seed=0)
    assert few.labels.shape == (3, 50)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_one_learning_rate_serves_maps_of_any_scale(scale: float) -> None:
    """Rows are scaled to unit length after the maps, so only relative steps matter."""
    scaled = Heads(
        aligned=False,
        image_mean=START.image_mean,
        image_map=START.image_map * np.float32(scale),
        caption_mean=START.caption_mean,
        caption_map=START.caption_map * np.float32(scale),
    )
    other = train_heads(scaled, PAIRS, LABELS, CONFIG, seed=0)
    plain, got = (each.checkpoints[-1].project_images(PAIRS.image) for each in (TRAINED, other))
    assert np.mean((plain * got).sum(1)) > 0.99
