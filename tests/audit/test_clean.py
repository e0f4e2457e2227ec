from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ncaudit.audit.clean import CleanSummary, clean
from ncaudit.audit.clean_config import CleanConfig
from ncaudit.audit.clean_shard import CleanTally
from ncaudit.files import read_json
from tests.support.cleaning import BAD, SHARDS, cleaned, contents, members, notes, outcomes
from tests.support.runs import write_run


def test_members_are_copied_byte_for_byte_and_in_order(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    source = members(tmp_path / "shards/0.tar")
    assert members(tmp_path / "cleaned/0.tar") == [m for m in source if m[0][0] in "ac"]
    rejected = members(tmp_path / "cleaned/rejected/0.tar")
    assert [m for m in rejected if m[0] != "b.json"] == [m for m in source if m[0][0] == "b"]


def test_what_is_written_and_what_is_not(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    assert [name for name in contents(tmp_path / "cleaned") if "ledger" not in name] == [
        "0.parquet",
        "0.tar",
        "0_stats.json",
        "1.parquet",
        "1_stats.json",
        "clean.json",
        "rejected/0.parquet",
        "rejected/0.tar",
        "rejected/0_stats.json",
        "rejected/1.parquet",
        "rejected/1.tar",
        "rejected/1_stats.json",
        "rejected/sizes.json",
        "sizes.json",
    ]
    assert read_json(tmp_path / "cleaned/sizes.json") == {"0.tar": 2}
    assert read_json(tmp_path / "cleaned/rejected/sizes.json") == {"0.tar": 1, "1.tar": 2}


def test_every_pair_is_accounted_for(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    tallies: list[CleanTally] = []
    config = CleanConfig(run=tmp_path / "audit", out=tmp_path / "cleaned")
    summary = clean(config, tallies.append)
    assert [(t.shard, t.n_pairs, t.n_kept, t.n_dropped, t.n_rejected) for t in tallies] == [
        ("0", 3, 2, 1, 0),
        ("1", 2, 0, 1, 1),
    ]
    assert summary == CleanSummary(
        threshold=0.5,
        chosen_by="threshold",
        sizes={"0.tar": 2},
        captions="auto",
        has_uids=False,
        totals={
            "n_pairs": 5,
            "n_kept": 2,
            "n_rematched": 0,
            "n_dropped": 2,
            "n_rejected": 1,
            "n_samples": 5,
            "n_samples_kept": 2,
            "n_samples_rejected": 3,
            "n_rewritten": 0,
            "n_cut": 0,
            "mismatches_removed": pytest.approx(1.4),
            "good_lost": pytest.approx(0.6),
            "mismatches_left": pytest.approx(0.2),
        },
    )
    assert outcomes(tmp_path / "cleaned") == {
        "a": "success",
        "b": "dropped",
        "c": "success",
        "d": "dropped",
        "e": "caption_missing",
    }


def test_stats_have_the_keys_of_img2dataset(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    stats = read_json(tmp_path / "cleaned/0_stats.json")
    note = stats.pop("ncaudit")
    assert stats == {
        "count": 3,
        "successes": 2,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "duration": 0.0,
        "start_time": 0.0,
        "end_time": 0.0,
        "status_dict": {"dropped": 1, "success": 2},
    }
    assert (note["n_pairs"], note["n_kept"], note["threshold"]) == (3, 2, 0.5)
    assert read_json(tmp_path / "cleaned/rejected/1_stats.json")["status_dict"] == {
        "caption_missing": 1,
        "dropped": 1,
    }


def test_the_tables_start_as_those_of_img2dataset(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    table = pq.read_table(tmp_path / "cleaned/0.parquet")
    assert table.column_names[:4] == ["key", "status", "error_message", "caption"]
    rejected = pq.read_table(tmp_path / "cleaned/rejected/1.parquet")
    assert rejected.select(["key", "status", "error_message"]).to_pylist() == [
        {"key": "d", "status": "dropped", "error_message": "similarity;neg_clip_loss"},
        {"key": "e", "status": "caption_missing", "error_message": "no .json"},
    ]


def test_rejected_samples_say_why(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    found = notes(tmp_path / "cleaned/rejected/1.tar")
    assert found == {
        "d": {
            "caption_index": 0,
            "status": "scored",
            "verdict": "keep",
            "p_mismatch": 0.5,
            "reasons": ["similarity", "neg_clip_loss"],
            "detail": "",
            "outcome": "dropped",
            "decided_by": "threshold",
        },
        "e": {
            "caption_index": 0,
            "status": "caption_missing",
            "verdict": None,
            "p_mismatch": None,
            "reasons": [],
            "detail": "no .json",
            "outcome": "rejected",
            "decided_by": "status",
        },
    }


def test_cleaning_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, out="x")
    cleaned(tmp_path, out="y")
    assert contents(tmp_path / "x") == contents(tmp_path / "y")


def test_keeping_everything_keeps_the_bytes_of_the_tar(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": SHARDS["0"]}, {})
    cleaned(tmp_path, threshold=1.0)
    whole = (tmp_path / "shards/0.tar").read_bytes()
    assert (tmp_path / "cleaned/0.tar").read_bytes() == whole
