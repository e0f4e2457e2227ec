"""Linear heads: unit rows, and the same rows however many come together."""

import numpy as np
import pytest

from ncaudit.matching import pairs as pairs_module
from ncaudit.matching.heads import image_features, unit_rows
from ncaudit.matching.moments import moments_of
from ncaudit.matching.start import ridge_cca
from tests.signals.latent_pairs import latent_pairs

PAIRS, _ = latent_pairs(200)
HEADS = ridge_cca(moments_of(PAIRS, aligned=False), dim=10, ridge=1.0)


def test_unit_rows_leave_a_zero_row_zero() -> None:
    """3, 4 has length 5."""
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


def test_power_transform_is_a_signed_square_root() -> None:
    """sqrt of 0.36, -0.64 is 0.6, -0.8, already of length 1."""
    image = np.array([[0.36, -0.64]])
    np.testing.assert_allclose(image_features(image, aligned=False), [[0.6, -0.8]], rtol=1e-6)


def test_features_of_aligned_towers_are_left_alone() -> None:
    got = image_features(PAIRS.image, aligned=True)
    np.testing.assert_array_equal(got, PAIRS.image.astype(np.float32))


def test_projections_are_float32_unit_rows() -> None:
    for side in HEADS.project(PAIRS):
        assert side.shape == (200, 10)
        assert side.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1.0, rtol=1e-5)


def test_projection_by_chunks_is_the_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = HEADS.project(PAIRS)
    monkeypatch.setattr(pairs_module.Pairs.chunks, "__defaults__", (33,))
    for plain, chunked in zip(whole, HEADS.project(PAIRS), strict=True):
        np.testing.assert_allclose(chunked, plain, atol=1e-6)
