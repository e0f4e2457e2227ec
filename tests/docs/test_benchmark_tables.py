"""The tables of docs/benchmarks.md say what the recorded JSON says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_recorded_json() -> None:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "examples/bench/tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert tables.filled(page) == page
