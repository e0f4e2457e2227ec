"""Noise is planted where it was asked for, never as a fixed point, and its truth is known."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ncaudit.audit.noise.exchange import caption_topics, exchange_captions
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import Noisy, Pool, plant_noise
from ncaudit.errors import InputError
from ncaudit.matching.pairs import Pairs

RATES = st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.5, 0.8, 1.0])


def pool_of(image: list[int], caption: list[int] | None = None) -> Pool:
    """Return pairs whose embeddings are numbers of their image and caption."""
    captions = list(range(len(image))) if caption is None else caption
    pairs = Pairs(
        np.array(image, np.float32)[:, None],
        np.array(captions, np.float32)[:, None],
        np.array(image, np.uint64) + np.uint64(1000),
        np.array(captions, np.uint64) + np.uint64(5000),
    )
    return Pool(pairs, tuple(f"caption {each}" for each in captions))


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    counts = draw(st.lists(st.integers(1, 5), min_size=12, max_size=40))
    image = [at for at, count in enumerate(counts) for _ in range(count)]
    n_kinds = draw(st.integers(max(2, len(image) // 2), 2 * len(image)))
    caption = draw(st.lists(st.integers(0, n_kinds), min_size=len(image), max_size=len(image)))
    return pool_of(image, caption)


def plant(pool: Pool, kind: NoiseKind, rate: float, seed: int = 0) -> Noisy:
    return plant_noise(pool, kind, rate, seed=seed, encode=no_new_texts)


def no_new_texts(_texts: object) -> np.ndarray:
    raise AssertionError("no text is new")


def belong(pool: Pool) -> set[tuple[int, int]]:
    pairs = pool.pairs
    return set(zip(pairs.image_id.tolist(), pairs.caption_id.tolist(), strict=True))


EXCHANGES = [NoiseKind.CAPTION, NoiseKind.IMAGE, NoiseKind.ORPHAN]


@pytest.mark.parametrize("kind", EXCHANGES)
@settings(max_examples=60, deadline=None)
@given(pool=pools(), rate=RATES, seed=st.integers(0, 5))
def test_the_truth_is_what_was_done(kind: NoiseKind, pool: Pool, rate: float, seed: int) -> None:
    try:
        noisy = plant(pool, kind, rate, seed)
    except InputError:
        return
    pairs, right = noisy.pairs, belong(pool)
    for image, caption, wrong in zip(
        pairs.image_id.tolist(), pairs.caption_id.tolist(), noisy.is_mismatch, strict=True
    ):
        assert wrong == ((image, caption) not in right)


@settings(max_examples=60, deadline=None)
@given(pool=pools(), rate=RATES, seed=st.integers(0, 5))
def test_exchanged_captions_have_another_image_and_another_text(
    pool: Pool, rate: float, seed: int
) -> None:
    pairs = pool.pairs
    source = exchange_captions(pairs, rate, np.random.default_rng(seed))
    moved = source != np.arange(len(pairs))
    assert (pairs.image_id[source] != pairs.image_id)[moved].all()
    assert (pairs.caption_id[source] != pairs.caption_id)[moved].all()
    assert sorted(source) == list(range(len(pairs)))


@pytest.mark.parametrize("kind", [NoiseKind.CAPTION, NoiseKind.IMAGE])
@settings(deadline=None)
@given(rate=RATES, seed=st.integers(0, 20))
def test_the_rate_is_as_asked(kind: NoiseKind, rate: float, seed: int) -> None:
    noisy = plant(pool_of([at // 5 for at in range(200)]), kind, rate, seed)
    assert noisy.is_mismatch.sum() == round(rate * 200)


@settings(deadline=None)
@given(rate=RATES, seed=st.integers(0, 20))
def test_captions_of_an_image_move_together(rate: float, seed: int) -> None:
    pool = pool_of([at // 5 for at in range(200)])
    noisy = plant(pool, NoiseKind.IMAGE, rate, seed)
    wrong = noisy.is_mismatch.reshape(-1, 5)
    assert (wrong == wrong[:, :1]).all()
    now = noisy.pairs.image_id.reshape(-1, 5)
    assert (now == now[:, :1]).all()
    assert Counter(noisy.pairs.image_id.tolist()) == Counter(pool.pairs.image_id.tolist())
    assert (noisy.pairs.image[:, 0] + 1000 == noisy.pairs.image_id).all()


@settings(deadline=None)
@given(rate=RATES, seed=st.integers(0, 20))
def test_captions_stay_inside_their_topic(rate: float, seed: int) -> None:
    pairs, topic = pool_of(list(range(100))).pairs, np.arange(100) % 4
    source = exchange_captions(pairs, rate, np.random.default_rng(seed), topic)
    assert (topic[source] == topic).all()
    moved = np.bincount(topic[source != np.arange(100)], minlength=4)
    assert (moved == (round(rate * 25) if round(rate * 25) > 1 else 0)).all()


def test_topics_are_clusters_of_alike_captions() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(4, 8)[np.repeat(np.arange(4), 40)]
    caption = (centres + 0.01 * rng.normal(size=(160, 8))).astype(np.float16)
    ids = np.arange(160, dtype=np.uint64)
    topic = caption_topics(Pairs(caption, caption, ids, ids))
    together = topic.reshape(4, 40)
    assert (together == together[:, :1]).all()


def test_topic_noise_is_planted_through_the_embeddings() -> None:
    pool = pool_of(list(range(400)))
    noisy = plant(pool, NoiseKind.TOPIC, 0.4)
    distance = np.abs(noisy.pairs.caption[:, 0] - np.arange(400))
    assert 0.3 < noisy.is_mismatch.mean() <= 0.45
    # Numbers that are near are one topic: nobody's caption comes from far away.
    assert np.median(distance[noisy.is_mismatch]) < 60


@settings(deadline=None)
@given(rate=RATES.filter(bool), seed=st.integers(0, 20))
def test_orphans_have_no_image_in_the_pool(rate: float, seed: int) -> None:
    pool = pool_of([at // 5 for at in range(200)])
    noisy = plant(pool, NoiseKind.ORPHAN, rate, seed)
    left = set(noisy.pairs.image_id.tolist())
    owner = dict(zip(pool.pairs.caption_id.tolist(), pool.pairs.image_id.tolist(), strict=True))
    homes = [owner[each] for each in noisy.pairs.caption_id[noisy.is_mismatch].tolist()]
    assert not left & set(homes)
    assert noisy.is_mismatch.sum() == round(rate * len(noisy.pairs))
    assert len(set(noisy.pairs.caption_id.tolist())) == len(noisy.pairs)


def test_a_caption_that_others_have_too_is_no_orphan() -> None:
    pool = pool_of(list(range(100)), [at % 50 for at in range(100)])
    with_twin_out = plant(pool, NoiseKind.ORPHAN, 0.9)
    wrong = with_twin_out.pairs.caption_id[with_twin_out.is_mismatch]
    right = with_twin_out.pairs.caption_id[~with_twin_out.is_mismatch]
    assert len(wrong)
    assert not set(wrong.tolist()) & set(right.tolist())


@pytest.mark.parametrize("kind", [NoiseKind.CAPTION, NoiseKind.IMAGE])
@pytest.mark.parametrize("pool", [pool_of([0] * 20), pool_of(list(range(20)), [0] * 20)])
def test_one_image_or_one_caption_leaves_nothing_to_exchange(kind: NoiseKind, pool: Pool) -> None:
    with pytest.raises(InputError, match=f"no {kind} noise could be planted"):
        plant(pool, kind, 0.4)


@pytest.mark.parametrize("kind", EXCHANGES)
def test_no_noise_leaves_the_pairs_alone(kind: NoiseKind) -> None:
    pool = pool_of([at // 5 for at in range(100)])
    noisy = plant(pool, kind, 0.0)
    assert not noisy.is_mismatch.any()
    assert (noisy.pairs.caption_id == pool.pairs.caption_id).all()


def test_another_seed_plants_other_noise() -> None:
    pool = pool_of(list(range(100)))
    first, again, other = (plant(pool, NoiseKind.CAPTION, 0.4, seed) for seed in (0, 0, 1))
    assert (first.is_mismatch == again.is_mismatch).all()
    assert (first.is_mismatch != other.is_mismatch).any()
