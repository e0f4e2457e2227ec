"""Moments and the closed-form starts, beside slow plain versions of them."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg

from ncaudit.matching.heads import image_features, unit_rows
from ncaudit.matching.moments import Moments, moments_of
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.start import ridge_cca, shared_rotation
from ncaudit.types import Floats
from tests.signals.latent_pairs import latent_pairs

PAIRS, _ = latent_pairs(300)
ALIGNED, _ = latent_pairs(300, aligned=True)


def assert_equal(left: Moments, right: Moments) -> None:
    for field in dataclasses.fields(Moments):
        got, expected = getattr(left, field.name), getattr(right, field.name)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4, err_msg=field.name)


def test_moments_of_parts_add_up_to_the_whole() -> None:
    parts = [PAIRS.take(np.arange(100)), PAIRS.take(np.arange(100, 300))]
    first, second = (moments_of(part, aligned=False) for part in parts)
    assert_equal(first + second, moments_of(PAIRS, aligned=False))
    assert (first + second).n == 300


def test_moments_of_the_whole_less_a_part_are_those_of_the_rest() -> None:
    whole = moments_of(PAIRS, aligned=False)
    part = moments_of(PAIRS.take(np.arange(100)), aligned=False)
    assert_equal(whole - part, moments_of(PAIRS.take(np.arange(100, 300)), aligned=False))


def test_moments_are_sums_of_outer_products() -> None:
    few = PAIRS.take(np.arange(5))
    x, t = image_features(few.image, aligned=False), few.caption.astype(np.float64)
    moments = moments_of(few, aligned=False)
    np.testing.assert_allclose(moments.image, x.sum(0), rtol=1e-5)
    np.testing.assert_allclose(
        moments.image_caption, sum(map(np.outer, x, t)), rtol=1e-4, atol=1e-6
    )


def test_no_pairs_have_no_moments() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        moments_of(PAIRS.take(np.arange(0)), aligned=False)


def direct_cca(x: Floats, t: Floats, ridge: float) -> tuple[Floats, Floats, Floats]:
    """Canonical correlations as the generalised eigenproblem of both views together."""
    n, dx, dt = len(x), x.shape[1], t.shape[1]
    x, t = x - x.mean(0), t - t.mean(0)
    cxx, ctt, cxt = x.T @ x / n, t.T @ t / n, x.T @ t / n
    cxx += ridge * np.trace(cxx) / dx * np.eye(dx)
    ctt += ridge * np.trace(ctt) / dt * np.eye(dt)
    cross = np.block([[np.zeros((dx, dx)), cxt], [cxt.T, np.zeros((dt, dt))]])
    values, vectors = scipy.linalg.eigh(cross, scipy.linalg.block_diag(cxx, ctt))
    best = np.argsort(-values)
    # eigh normalises w'Bw to 1 over both views; each view by itself then has 1/2.
    vectors = vectors[:, best] * np.sqrt(2)
    return vectors[:dx], vectors[dx:], values[best]


@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_ridge_cca_is_the_direct_solution_up_to_sign(ridge: float) -> None:
    heads = ridge_cca(moments_of(PAIRS, aligned=False), dim=5, ridge=ridge)
    x, t = image_features(PAIRS.image, aligned=False), PAIRS.caption.astype(np.float64)
    image, caption, correlation = direct_cca(x.astype(np.float64), t, ridge)
    for got, directions in ((heads.image_map, image), (heads.caption_map, caption)):
        expected = directions[:, :5] * correlation[:5]
        sign = np.sign((got * expected).sum(0))
        np.testing.assert_allclose(got, expected * sign, atol=2e-3 * np.abs(expected).max())


def test_paired_directions_of_cca_turn_together() -> None:
    heads = ridge_cca(moments_of(PAIRS, aligned=False), dim=5, ridge=1.0)
    x = (image_features(PAIRS.image, aligned=False) - heads.image_mean) @ heads.image_map
    t = (PAIRS.caption.astype(np.float32) - heads.caption_mean) @ heads.caption_map
    assert np.all((x * t).sum(0) > 0)


def test_cca_has_no_more_directions_than_the_narrower_tower() -> None:
    heads = ridge_cca(moments_of(PAIRS, aligned=False), dim=128, ridge=1.0)
    assert heads.image_map.shape == (48, 40)
    assert heads.caption_map.shape == (40, 40)


def test_cca_of_one_pair_or_of_a_constant_tower_is_refused() -> None:
    with pytest.raises(ValueError, match="1 pairs cannot be correlated"):
        ridge_cca(moments_of(PAIRS.take(np.array([0])), aligned=False), dim=5, ridge=1.0)
    constant = Pairs(
        PAIRS.image[np.zeros(300, int)], PAIRS.caption, PAIRS.image_id, PAIRS.caption_id
    )
    with pytest.raises(ValueError, match="never vary"):
        ridge_cca(moments_of(constant, aligned=False), dim=5, ridge=1.0)


def test_shared_rotation_keeps_cosines_after_centring() -> None:
    heads = shared_rotation(moments_of(ALIGNED, aligned=True), dim=48)
    image, caption = (x.astype(np.float32) for x in (ALIGNED.image, ALIGNED.caption))
    centred = unit_rows(image - image.mean(0)), unit_rows(caption - caption.mean(0))
    projected = heads.project(ALIGNED)
    np.testing.assert_allclose(projected[0] @ projected[1].T, centred[0] @ centred[1].T, atol=1e-5)


def test_both_towers_share_one_orthonormal_map() -> None:
    heads = shared_rotation(moments_of(ALIGNED, aligned=True), dim=12)
    np.testing.assert_array_equal(heads.image_map, heads.caption_map)
    np.testing.assert_allclose(heads.image_map.T @ heads.image_map, np.eye(12), atol=1e-6)
