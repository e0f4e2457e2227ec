"""Evidence of proposals: match probabilities among candidates."""

import numpy as np
from scipy.special import softmax

from ncaudit.rematch.candidates import Edges
from ncaudit.rematch.evidence import match_probability

SIMILARITY = np.random.default_rng(0).uniform(-1, 1, (6, 5)).astype(np.float32)
ROWS, COLUMNS = (each.ravel() for each in np.indices((6, 5)))


def test_of_all_edges_it_is_the_mean_of_both_softmaxes() -> None:
    edges = Edges(ROWS, COLUMNS, SIMILARITY.ravel(), "all")
    both = softmax(SIMILARITY / 0.05, axis=1) + softmax(SIMILARITY / 0.05, axis=0)
    found = match_probability(edges, np.arange(5), 0.05)
    np.testing.assert_allclose(found, both.ravel() / 2, rtol=1e-4)


def test_equal_captions_share_their_images() -> None:
    similarity = np.full(4, 0.5, np.float32)
    edges = Edges(np.arange(4), np.array([0, 1, 2, 2]), similarity, "some")
    found = match_probability(edges, np.array([0, 0, 1]), 0.05)
    np.testing.assert_allclose(found, 0.75)
