"""What every signal promises."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from ncaudit.signals.base import ScoredPairs, Signal
from ncaudit.testing.suite import Suite, require
from ncaudit.types import Floats

_TEXTS = ("a brown dog on a lawn", "IMG_2041.jpg", "", "¿dónde? 犬", "two cats, asleep " * 40)
_COLUMNS = ("similarity", "neg_clip_loss", "p_mismatch")


class SignalSuite(Suite):
    """Checks of one signal.

    Args:
        signal: The signal.
        pairs: Pairs to measure, at least 8; drawn pairs if None. A signal that needs special
            ones may be given some.
    """

    def __init__(self, signal: Signal, pairs: ScoredPairs | None = None) -> None:
        self._signal = signal
        self._pairs = pairs or drawn_pairs(24)

    @cached_property
    def _values(self) -> Floats:
        return np.asarray(self._signal.measure(self._pairs))

    def check_it_has_all_members_of_a_signal(self) -> None:
        """`Signal` names them."""
        require(isinstance(self._signal, Signal), "a member of Signal is missing")

    def check_it_says_what_it_means(self) -> None:
        """In one sentence, and which end is bad."""
        require(bool(self._signal.meaning.strip()), "there is no meaning")
        require(self._signal.bad in ("high", "low", ""), f"bad is {self._signal.bad!r}")

    def check_it_gives_one_number_per_pair(self) -> None:
        """NaN says that it does not apply; infinities are not numbers."""
        n = len(self._pairs)
        require(self._values.shape == (n,), f"shape {self._values.shape}, not {(n,)}")
        require(self._values.dtype.kind in "fiub", f"{self._values.dtype} holds no numbers")
        require(not np.isinf(self._values.astype(np.float64)).any(), "a number is infinite")

    def check_a_number_does_not_depend_on_the_other_pairs(self) -> None:
        """Shards may be scored in pieces."""
        for rows in (range(1), range(3, 8), range(len(self._pairs) - 1, len(self._pairs))):
            found = self._signal.measure(taken(self._pairs, rows))
            np.testing.assert_allclose(found, self._values[list(rows)], rtol=1e-5)

    def check_a_number_does_not_depend_on_the_order(self) -> None:
        """Shards may be in any order."""
        backwards = range(len(self._pairs) - 1, -1, -1)
        found = np.asarray(self._signal.measure(taken(self._pairs, backwards)))
        np.testing.assert_allclose(found[::-1], self._values, rtol=1e-5)

    def check_the_same_pairs_get_the_same_numbers(self) -> None:
        """Bit for bit."""
        np.testing.assert_array_equal(self._signal.measure(self._pairs), self._values)

    def check_nothing_gives_no_numbers(self) -> None:
        """Shape (0,)."""
        found = np.asarray(self._signal.measure(taken(self._pairs, [])))
        require(found.shape == (0,), f"no pairs give shape {found.shape}")

    def check_pairs_are_not_changed(self) -> None:
        """Other signals see the same arrays."""
        kept = taken(self._pairs, range(len(self._pairs)))
        self._signal.measure(self._pairs)
        np.testing.assert_array_equal(kept.image, self._pairs.image)
        np.testing.assert_array_equal(kept.caption, self._pairs.caption)
        for name, values in kept.columns.items():
            np.testing.assert_array_equal(values, self._pairs.columns[name])

    def check_a_run_without_a_model_has_numbers_too(self) -> None:
        """Then there are no columns: the signal may say NaN, and must not fail."""
        found = np.asarray(self._signal.measure(replace(self._pairs, columns={})))
        require(found.shape == (len(self._pairs),), f"without columns the shape is {found.shape}")


def drawn_pairs(n: int, *, seed: int = 0) -> ScoredPairs:
    """Return drawn embeddings with captions of all sorts.

    Args:
        n: Pairs.
        seed: Decides the draw.
    """
    rng = np.random.default_rng(seed)
    image, caption = (_unit(rng.normal(size=(n, dim))) for dim in (12, 8))
    columns = {name: rng.normal(size=n) for name in _COLUMNS}
    text = [f"{_TEXTS[row % len(_TEXTS)]}" for row in range(n)]
    return ScoredPairs(image, caption, text, aligned=False, columns=columns)


def taken(pairs: ScoredPairs, rows: Sequence[int]) -> ScoredPairs:
    """Return some of the pairs, as copies.

    Args:
        pairs: Pairs.
        rows: Which.
    """
    at = np.array(rows, np.int64)
    return ScoredPairs(
        pairs.image[at],
        pairs.caption[at],
        [pairs.text[row] for row in rows],
        pairs.aligned,
        {name: values[at] for name, values in pairs.columns.items()},
    )


def _unit(rows: Floats) -> Floats:
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit
