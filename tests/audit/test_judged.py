"""Verdicts find their pairs."""

import numpy as np

from ncaudit.audit.judged import Judged
from ncaudit.matching.pairs import Pairs


def test_judged_pairs_are_found_by_image_and_caption() -> None:
    ids = np.arange(5, dtype=np.uint64)
    pairs = Pairs(np.zeros((5, 2)), np.zeros((5, 2)), ids, ids + np.uint64(10))
    judged = Judged(
        np.array([3, 0, 1], np.uint64),
        np.array([13, 10, 12], np.uint64),
        np.array([True, False, True]),
        np.ones(3),
    )
    assert judged.rows_in(pairs).tolist() == [3, 0, -1]
