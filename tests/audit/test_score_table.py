"""One shard's rows, and the verdicts in them."""

import numpy as np

from ncaudit.audit.tables import verdicts


def verdict(p: float, low: float, high: float) -> str | None:
    (found,) = verdicts(np.array([p]), np.array([low]), np.array([high]))
    return found


def test_a_pair_is_dropped_only_where_the_interval_is_sure() -> None:
    assert verdict(0.7, 0.5, 0.8) == "drop"
    assert verdict(0.9, 0.3, 0.95) == "drop"
    assert verdict(0.7, 0.49, 0.8) == "review"
    assert verdict(0.3, 0.1, 0.5) == "review"
    assert verdict(0.1, 0.0, 0.5) == "review"
    assert verdict(0.2, 0.1, 0.3) == "review"
    assert verdict(0.19, 0.1, 0.49) == "keep"


def test_a_pair_without_probability_has_no_verdict() -> None:
    assert verdict(np.nan, np.nan, np.nan) is None


def test_drop_and_keep_never_contradict_the_probability() -> None:
    p, low, high = np.random.default_rng(0).random((3, 5000))
    found = np.array(verdicts(p, low, high))
    assert p[found == "drop"].min() >= 0.5
    assert p[found == "keep"].max() < 0.5
