"""LEMoN's score: the toy by hand, and neighbours that do not count."""

from dataclasses import replace

import numpy as np
import pytest

from ncaudit.matching.lemon import LemonWeights, Neighbours, neighbour_discrepancy
from tests.golden.make_golden import stored

OF_IMAGE = Neighbours(
    distance=np.array([[-0.9, -0.8]]),
    partner_distance=np.array([[0.5, 0.6]]),
    pair_distance=np.array([[0.7, 0.75]]),
)
OF_CAPTION = Neighbours(
    distance=np.array([[-0.85, -0.8]]),
    partner_distance=np.array([[0.4, 0.3]]),
    pair_distance=np.array([[0.7, 0.68]]),
)
D = np.array([0.7])


def test_golden_toy() -> None:
    got = neighbour_discrepancy(D, OF_IMAGE, OF_CAPTION)
    np.testing.assert_allclose(got, [stored()["G6.LEMoN toy"]], rtol=1e-13)


def test_without_weight_the_neighbours_say_nothing() -> None:
    silent = LemonWeights(image_neighbours=0, caption_neighbours=0)
    np.testing.assert_array_equal(
        neighbour_discrepancy(D, OF_IMAGE, OF_CAPTION, weights=silent), D
    )


def test_left_out_neighbour_is_as_if_never_found() -> None:
    masked = replace(OF_IMAGE, left_out=np.array([[False, True]]))
    alone = Neighbours(
        OF_IMAGE.distance[:, :1], OF_IMAGE.partner_distance[:, :1], OF_IMAGE.pair_distance[:, :1]
    )
    got = neighbour_discrepancy(D, masked, OF_CAPTION)
    np.testing.assert_allclose(got, neighbour_discrepancy(D, alone, OF_CAPTION))
    nobody = replace(OF_IMAGE, left_out=np.array([[True, True]]))
    nobody_either = replace(OF_CAPTION, left_out=np.array([[True, True]]))
    np.testing.assert_array_equal(neighbour_discrepancy(D, nobody, nobody_either), D)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Neighbours(np.zeros((2, 3)), np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="pairs"):
        neighbour_discrepancy(np.zeros(2), OF_IMAGE, OF_CAPTION)
