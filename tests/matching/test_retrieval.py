import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ncaudit.matching import retrieval as module
from ncaudit.matching.retrieval import retrieval

# Similarities are free to choose: the images are unit vectors, the captions are columns.
IMAGES = np.eye(3, dtype=np.float32)


def test_recalls_of_three_images_with_two_captions_each() -> None:
    # Captions 0, 1 belong to image 0, captions 2, 3 to image 1, captions 4, 5 to image 2.
    similarity = np.array(
        [
            [0.9, 0.1, 0.2, 0.3, 0.4, 0.0],  # best own first: rank 0
            [0.8, 0.7, 0.1, 0.6, 0.5, 0.2],  # best own third: rank 2
            [0.9, 0.8, 0.7, 0.6, 0.2, 0.5],  # best own fifth: rank 4
        ],
        np.float32,
    )
    found = retrieval(IMAGES, similarity.T.copy(), np.array([0, 0, 1, 1, 2, 2]))
    assert found.image_to_caption == pytest.approx((100 / 3, 100.0, 100.0))
    # Rows by caption: own image first for 3 (0.6 ties with 0.6: the wrong one comes first).
    # 0: .9 ties with .9 -> 1; 1: .1 -> 2; 2: .1 -> 2; 3: tie -> 1; 4: .2 -> 2; 5: .5 -> 0.
    assert found.caption_to_image == pytest.approx((100 / 6, 100.0, 100.0))
    assert found.rsum == pytest.approx(100 / 3 + 100 / 6 + 400)
    assert (found.n_images, found.n_captions) == (3, 6)


def test_cutoffs_are_1_5_and_10() -> None:
    # Image 0 has its only caption at rank 7; all others match perfectly.
    n = 12
    similarity = np.eye(n, dtype=np.float32)
    similarity[0, 1:8], similarity[0, 0] = 0.9, 0.5
    found = retrieval(np.eye(n, dtype=np.float32), similarity.T.copy(), np.arange(n))
    assert found.image_to_caption == pytest.approx((100 * 11 / 12, 100 * 11 / 12, 100.0))


def test_a_model_that_maps_all_to_one_point_finds_nothing() -> None:
    one = np.ones((20, 1), np.float32)
    found = retrieval(one, one, np.arange(20))
    assert found.rsum == 0


@settings(deadline=None)
@given(seed=st.integers(0, 50))
def test_chunks_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, caption = rng.normal(size=(7, 3)), rng.normal(size=(15, 3))
    owner = np.append(np.arange(7), rng.integers(7, size=8))
    whole = retrieval(image, caption, owner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_CELLS", 20)
        assert retrieval(image, caption, owner) == whole


@settings(deadline=None)
@given(seed=st.integers(0, 50))
def test_the_order_of_captions_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, caption, owner = rng.normal(size=(9, 4)), rng.normal(size=(9, 4)), np.arange(9)
    order = rng.permutation(9)
    assert retrieval(image, caption[order], owner[order]) == retrieval(image, caption, owner)


@pytest.mark.parametrize("owner", [np.array([0, 0, 0]), np.array([0, 1])])
def test_every_image_needs_a_caption(owner: np.ndarray) -> None:
    with pytest.raises(ValueError, match="caption"):
        retrieval(IMAGES[:2], IMAGES, owner)
