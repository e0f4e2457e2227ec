"""The first thing a newcomer runs: demo shards, scored with the bundled encoder, cleaned."""

import json
from pathlib import Path

import pytest

from ncaudit.audit.demo import TRUTH_NAME
from tests.support.audits import ncaudit, rows, summary


@pytest.mark.slow
def test_the_demo_is_drawn_scored_and_cleaned(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    assert ncaudit("demo", "-o", shards, "--pairs", 300, "-q").exit_code == 0
    assert (shards / TRUTH_NAME).exists()
    audit = tmp_path / "audit"
    done = ncaudit("score", shards, "-o", audit, "-q")
    assert done.exit_code == 0, done.output
    counts = summary(tmp_path)["counts"]
    assert counts["scored"] == 300
    assert counts["pairs"] == len(rows(tmp_path)) == 300 + sum(counts["rejects"].values())
    done = ncaudit("clean", audit, "-o", tmp_path / "cleaned", "--threshold", "0.5", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["totals"]["n_pairs"] == counts["pairs"]
