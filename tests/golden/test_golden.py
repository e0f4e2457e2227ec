"""The stored golden values are what the equations say."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.golden.make_golden import HANDED_DOWN, computed, stored

COMPUTED = computed()


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    else:
        yield float(value)


def test_every_golden_value_has_an_oracle() -> None:
    assert set(COMPUTED) | HANDED_DOWN == set(stored())


@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_oracle_agrees_with_the_stored_value(name: str) -> None:
    expected = list(numbers(stored()[name]))
    np.testing.assert_allclose(list(numbers(COMPUTED[name])), expected, rtol=1e-9, atol=1e-10)
