"""Every engine keeps what engines promise."""

from pathlib import Path

import pytest

from ncaudit.engine.base import Engine
from ncaudit.testing import CrewSuite, EngineSuite

ONLY_CREWS = sorted({*CrewSuite.names()} - {*EngineSuite.names()})


@pytest.mark.parametrize("check", EngineSuite.names())
def test_an_engine_keeps_its_promises(engine: Engine, tmp_path: Path, check: str) -> None:
    getattr(EngineSuite(engine, tmp_path), check)()


@pytest.mark.parametrize("check", ONLY_CREWS)
def test_an_engine_outlives_its_workers(crew_engine: Engine, tmp_path: Path, check: str) -> None:
    getattr(CrewSuite(crew_engine, tmp_path), check)()
