"""Training on cleaned pairs retrieves better than training on noisy ones."""

import numpy as np
import pytest

from ncaudit.audit.downstream import Comparison, HeadTraining, train_retrieval_head
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import Pool, plant_noise
from ncaudit.matching.heads import unit_rows
from ncaudit.matching.pairs import Pairs

QUICK = HeadTraining(updates=150, batch=64, dim=8, learning_rate=1e-2)


def latent_pairs(n: int, *, seed: int, first_id: int = 0) -> Pairs:
    """Return pairs of which both sides are noisy turns of the same hidden vector."""
    rng = np.random.default_rng(seed)
    turns = np.random.default_rng(99)
    hidden = rng.normal(size=(n, 8))
    image, caption = (
        unit_rows(hidden @ turns.normal(size=(8, dim)) + 0.5 * rng.normal(size=(n, dim)))
        for dim in (24, 16)
    )
    ids = np.arange(first_id, first_id + n, dtype=np.uint64)
    return Pairs(image.astype(np.float32), caption.astype(np.float32), ids, ids)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, float]]:
    clean = latent_pairs(400, seed=0)
    noisy = plant_noise(Pool(clean, ("",) * 400), NoiseKind.CAPTION, 0.6, seed=0, encode=list)
    truth = noisy.is_mismatch.astype(float)
    compared = Comparison(
        noisy=noisy,
        clean=clean,
        held_out=latent_pairs(100, seed=1, first_id=1000),
        aligned=True,
        seed=0,
        training=QUICK,
    ).rows(0.9 * truth, {"perfect": truth, "random": np.random.default_rng(0).random(400)})
    assert compared["held_out_images"] == 100
    return {row["method"]: row for row in compared["rows"]}


def test_noise_costs_retrieval_and_perfect_cleaning_brings_it_back(
    rows: dict[str, dict[str, float]],
) -> None:
    assert rows["noisy"]["rsum"] < rows["oracle"]["rsum"] - 20
    assert rows["fusion"]["rsum"] == rows["oracle"]["rsum"]
    assert rows["fusion"]["recovery"] == 1
    assert rows["noisy"]["recovery"] == 0
    assert rows["random"]["recovery"] < 0.6


def test_baselines_keep_as_many_pairs_as_the_fusion(rows: dict[str, dict[str, float]]) -> None:
    kept = {name: row["n_kept"] for name, row in rows.items()}
    assert kept == {
        "noisy": 400,
        "fusion": 160,
        "perfect": 160,
        "random": 160,
        "oracle": 160,
        "clean": 400,
    }
    assert rows["perfect"]["rsum"] == rows["fusion"]["rsum"]


def test_the_same_seed_trains_the_same_head() -> None:
    pairs = latent_pairs(100, seed=0)
    first, again = (train_retrieval_head(pairs, QUICK, aligned=True, seed=3) for _ in range(2))
    assert (first.image_map == again.image_map).all()


def test_sets_smaller_than_a_batch_can_be_trained_on() -> None:
    head = train_retrieval_head(latent_pairs(20, seed=0), QUICK, aligned=False, seed=0)
    assert np.isfinite(head.caption_map).all()
