import io
import os
import tarfile
from pathlib import Path

import pytest

from ncaudit.errors import ShardsFailedError
from ncaudit.files import read_json
from tests.support.cleaning import BAD, SHARDS, cleaned, members, notes
from tests.support.runs import score_by_hand, write_run
from tests.support.shards import pair, tar_bytes, write_shard


def test_a_sample_cut_by_a_truncated_tar_goes_to_the_rejected(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes(SHARDS["0"]))) as tar:
        text = tar.getmember("b.txt").offset_data
    write_shard(tmp_path / "shards/0.tar", SHARDS["0"], truncate_at=text + 1)
    score_by_hand(tmp_path, {})
    summary = cleaned(tmp_path)
    assert summary.totals["n_cut"] == 1
    assert [name for name, _ in members(tmp_path / "cleaned/0.tar")] == ["a.jpg", "a.txt"]
    assert notes(tmp_path / "cleaned/rejected/0.tar")["b"]["status"] == "shard_truncated"


def test_a_file_that_is_no_tar_has_nothing_to_clean(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/0.tar").write_bytes(b"<html>" * 200)
    score_by_hand(tmp_path, {})
    assert cleaned(tmp_path).sizes == {}
    assert read_json(tmp_path / "cleaned/0_stats.json")["count"] == 0


def test_duplicate_keys_are_told_apart(tmp_path: Path) -> None:
    samples = [("a", pair("red", "1")), ("b", pair("red", "2")), ("a", pair("blue", "3"))]
    write_run(tmp_path, {"0": samples}, {})
    cleaned(tmp_path)
    kept = [m for m in members(tmp_path / "cleaned/0.tar") if m[0].endswith("txt")]
    assert kept == [("a.txt", b"1"), ("b.txt", b"2")]
    rejected = members(tmp_path / "cleaned/rejected/0.tar")
    assert ("a.txt", b"3") in rejected


def test_gzip_shards_come_out_as_plain_tars(tmp_path: Path) -> None:
    write_shard(tmp_path / "shards/0.tar.gz", SHARDS["0"])
    score_by_hand(tmp_path, BAD)
    cleaned(tmp_path)
    assert [name for name, _ in members(tmp_path / "cleaned/0.tar")] == [
        "a.jpg",
        "a.txt",
        "c.jpg",
        "c.txt",
    ]


def test_a_shard_that_is_not_what_was_scored_fails_alone(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    stat = (tmp_path / "shards/0.tar").stat()
    write_shard(tmp_path / "shards/0.tar", [("z", pair("red", "red")), *SHARDS["0"][1:]])
    os.utime(tmp_path / "shards/0.tar", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ShardsFailedError, match="sample 0 is 'z'; 'a' was scored"):
        cleaned(tmp_path)
    assert (tmp_path / "cleaned/rejected/1.tar").exists()
    assert not (tmp_path / "cleaned/0.tar").exists()
    assert not (tmp_path / "cleaned/clean.json").exists()


def test_a_shard_that_lost_samples_since_they_were_scored_fails(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": SHARDS["0"]}, {})
    stat = (tmp_path / "shards/0.tar").stat()
    content = bytearray((tmp_path / "shards/0.tar").read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (tmp_path / "shards/0.tar").write_bytes(content)
    os.utime(tmp_path / "shards/0.tar", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ShardsFailedError, match="sample 2 is not at byte"):
        cleaned(tmp_path)
