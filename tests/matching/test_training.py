"""The training loop: lower loss, honest labels, the same result for the same seed."""

import numpy as np
import pytest
import torch

from ncaudit.config import HeadsConfig
from ncaudit.matching.acl import active_complementary_loss
from ncaudit.matching.heads import Heads
from ncaudit.matching.moments import moments_of
from ncaudit.matching.start import ridge_cca
from ncaudit.matching.training import Trained, train_heads
from tests.signals.latent_pairs import latent_pairs

PAIRS, WRONG = latent_pairs(600)
START = ridge_cca(moments_of(PAIRS, aligned=False), dim=24, ridge=3.0)
CONFIG = HeadsConfig(epochs=3, batch=128, learning_rate=3e-3)
LABELS = np.ones(600, np.float32)


def trained(seed: int = 0) -> Trained:
    return train_heads(START, PAIRS, LABELS, CONFIG, seed=seed)


TRAINED = trained()


def loss(heads: Heads) -> float:
    """The loss over all pairs at once, under the true labels."""
    image, caption = (torch.from_numpy(side) for side in heads.project(PAIRS))
    labels = torch.from_numpy((~WRONG).astype(np.float32))
    losses = active_complementary_loss(image @ caption.T, labels, temperature=CONFIG.temperature)
    return float(losses.mean())


def test_training_lowers_the_loss() -> None:
    assert loss(TRAINED.checkpoints[-1]) < 0.98 * loss(START)


def test_there_is_a_checkpoint_and_a_row_of_labels_for_each_epoch() -> None:
    assert len(TRAINED.checkpoints) == 3
    assert TRAINED.labels.shape == (3, 600)
    assert TRAINED.labels.dtype == np.float32


def test_labels_stay_in_zero_to_one_and_fall_for_mismatches() -> None:
    assert np.all((TRAINED.labels >= 0) & (TRAINED.labels <= 1))
    assert TRAINED.labels[-1][WRONG].mean() < TRAINED.labels[-1][~WRONG].mean()


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
