from pathlib import Path

import pytest

from ncaudit.errors import ConfigError
from tests.support.cleaning import BAD, SHARDS, cleaned, notes, outcomes
from tests.support.runs import write_run


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"threshold": 0.95}, "abcd"),
        ({"threshold": 0.0}, ""),
        ({"keep_fraction": 0.75}, "acd"),
        ({"keep_fraction": 0.25}, "ac"),
        ({"max_good_loss": 0.05}, "acd"),  # of 2.4 expected good pairs: 0.1, then 0.6
        ({"max_good_loss": 0.25}, "ac"),
        ({}, "ac"),
    ],
)
def test_the_threshold_is_chosen_in_three_ways(
    tmp_path: Path, settings: dict[str, float], kept: str
) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, **settings)
    status = outcomes(tmp_path / "cleaned")
    assert "".join(sorted(key for key in status if status[key] == "success")) == kept


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 0.5, "keep_fraction": 0.5},
        {"threshold": 1.5},
        {"keep_fraction": -0.1},
        {"max_good_loss": float("nan")},
    ],
)
def test_settings_that_disagree_or_are_out_of_range_are_refused(
    tmp_path: Path, settings: dict[str, float]
) -> None:
    with pytest.raises(ConfigError):
        cleaned(tmp_path, **settings)


def test_a_person_decides_before_the_threshold(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(
        "shard,key,caption_index,verdict\n0,a,0,mismatch\n0,b,0,match\n0,c,0,unsure\n"
    )
    cleaned(tmp_path, verdicts=verdicts)
    assert outcomes(tmp_path / "cleaned", ("0",)) == {
        "a": "dropped",
        "b": "success",
        "c": "success",
    }
    assert notes(tmp_path / "cleaned/rejected/0.tar")["a"]["decided_by"] == "person"
