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


@pytest.fixture(params=["in process", "local"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine, with two workers where it has any."""
    with opened("local", 1 if request.param == "in process" else 2) as engine:
        yield engine


@pytest.fixture(params=["local"])
def crew_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine that survives its workers."""
    with opened(request.param, 2) as engine:
        yield engine
