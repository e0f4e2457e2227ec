"""What was kept stays kept: cleaned shards scored again by the model that cleaned them."""

from pathlib import Path

import pytest

from tests.support.audits import ncaudit, rows, score, write_striped

MAX_FLIPS = 0.01


@pytest.mark.slow
def test_few_kept_pairs_are_dropped_the_next_time(tmp_path: Path) -> None:
    write_striped(tmp_path, n_shards=3, n_pairs=120)
    assert score(tmp_path).exit_code == 0
    done = ncaudit("clean", tmp_path / "audit", "-o", tmp_path / "cleaned", "-q")
    assert done.exit_code == 0, done.output
    model = ["--model", tmp_path / "audit/model", "--encoder", "toy", "-q"]
    done = ncaudit("score", tmp_path / "cleaned", "-o", tmp_path / "again", *model)
    assert done.exit_code == 0, done.output
    p = [float(row["p_mismatch"]) for row in rows(tmp_path, "again")]
    assert len(p) > 200
    assert sum(value >= 0.5 for value in p) / len(p) < MAX_FLIPS
