"""Every engine, behind one name."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ncaudit.engine import open_engine
from ncaudit.engine.base import Engine, EngineOptions


@contextmanager
def opened(name: str, workers: int, address: str = "auto") -> Iterator[Engine]:
    with open_engine(EngineOptions(name=name, workers=workers, address=address), "cpu") as engine:
        yield engine


RAY = pytest.param("ray", marks=pytest.mark.slow)


@pytest.fixture(params=["in process", "local", RAY])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine, with two workers where it has any."""
    if request.param == "in process":
        with opened("local", 1) as engine:
            yield engine
    else:
        yield from _with_two_workers(request)


@pytest.fixture(params=["local", RAY])
def crew_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine that survives its workers."""
    yield from _with_two_workers(request)


def _with_two_workers(request: pytest.FixtureRequest) -> Iterator[Engine]:
    address = request.getfixturevalue("two_nodes") if request.param == "ray" else "auto"
    with opened(request.param, 2, address) as engine:
        yield engine
