import contextlib
import itertools
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset.tariterators
from hypothesis import given, strategies as st

from ncaudit.audit.clean_plan import Rules
from ncaudit.audit.clean_reshard import key_tags, plan_packs
from ncaudit.audit.clean_shard import CleanJob
from ncaudit.audit.scored_run import ScoredShard
from ncaudit.errors import ConfigError, OutputExistsError
from ncaudit.files import read_json
from tests.support.cleaning import cleaned, contents, members
from tests.support.runs import proposal, write_run
from tests.support.shards import Samples, jpeg, pair

SHARDS: dict[str, Samples] = {
    "0": [("a", pair("red", "0a")), ("b", pair("blue", "0b")), ("c", pair("green", "0c"))],
    "x/1": [("a", pair("red", "1a")), ("d", pair("red", "1d"))],
    "x/2": [
        ("a", {"jpg": jpeg("red"), "npy": b"0" * 700, "txt": b"2a"}),
        ("e", pair("red", "2e")),
    ],
}
BAD = {("b", 0): 0.9}


def texts(tar: Path) -> list[tuple[str, str]]:
    return [(name, text.decode()) for name, text in members(tar) if name.endswith(".txt")]


def test_kept_samples_are_repacked_in_order(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    summary = cleaned(tmp_path, reshard=4)
    out = tmp_path / "cleaned"
    assert texts(out / "00000.tar") == [
        ("a.txt", "0a"),
        ("c.txt", "0c"),
        ("a_1.txt", "1a"),
        ("d.txt", "1d"),
    ]
    assert texts(out / "00001.tar") == [("a.txt", "2a"), ("e.txt", "2e")]
    assert summary.sizes == {"00000.tar": 4, "00001.tar": 2}
    assert read_json(out / "sizes.json") == summary.sizes


def test_the_new_tables_say_where_each_sample_comes_from(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, reshard=4)
    columns = ["key", "source_shard", "source_key", "status", "caption"]
    rows = pq.read_table(tmp_path / "cleaned/00000.parquet", columns=columns).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a", "0", "a", "success", "0a"),
        ("c", "0", "c", "success", "0c"),
        ("a_1", "x/1", "a", "success", "1a"),
        ("d", "x/1", "d", "success", "1d"),
    ]
    stats = read_json(tmp_path / "cleaned/00000_stats.json")
    assert (stats["count"], stats["successes"], stats["ncaudit"]["n_renamed"]) == (4, 4, 1)


def test_rejected_samples_keep_their_shards(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, reshard=4)
    names = sorted(
        p.relative_to(tmp_path / "cleaned").as_posix()
        for p in (tmp_path / "cleaned").rglob("*.tar")
    )
    assert names == ["00000.tar", "00001.tar", "rejected/0.tar"]


def test_a_renamed_sample_keeps_what_its_members_hold(tmp_path: Path) -> None:
    write_run(tmp_path, {name: SHARDS[name] for name in ("0", "x/2")}, BAD)
    cleaned(tmp_path, reshard=9)
    found = dict(members(tmp_path / "cleaned/00000.tar"))
    assert (found["a_1.jpg"], found["a_1.npy"]) == (jpeg("red"), b"0" * 700)


def test_webdataset_groups_the_new_tar_as_planned(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, reshard=100)
    with (tmp_path / "cleaned/00000.tar").open("rb") as stream:
        files = webdataset.tariterators.tar_file_expander([{"url": "x", "stream": stream}])
        keys = [s["__key__"] for s in webdataset.tariterators.group_by_keys(files) if s]
    assert keys == ["a", "c", "a_1", "d", "a_2", "e"]


def test_samples_of_one_shard_keep_their_bytes(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": SHARDS["0"]}, {})
    cleaned(tmp_path, reshard=3)
    assert (tmp_path / "cleaned/00000.tar").read_bytes() == (
        tmp_path / "shards/0.tar"
    ).read_bytes()


def test_proposals_are_applied_on_the_way(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals={("b", 0): proposal("new")})
    cleaned(tmp_path, reshard=10, apply_rematch=True)
    assert texts(tmp_path / "cleaned/00000.tar")[1] == ("b.txt", "new")
    rows = pq.read_table(tmp_path / "cleaned/00000.parquet").to_pylist()
    assert (rows[1]["original_caption"], rows[1]["source_key"]) == ("0b", "b")


def test_nothing_kept_makes_no_tar(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    assert cleaned(tmp_path, reshard=2, threshold=0.0).sizes == {}
    assert read_json(tmp_path / "cleaned/sizes.json") == {}


@pytest.mark.parametrize("n_renames", range(0, 32, 4))
def test_a_reshard_that_ends_at_any_rename_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_renames: int
) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, out="whole", reshard=4)
    rename, calls = Path.replace, itertools.count()

    def stop(self: Path, target: Path) -> Path:
        if next(calls) == n_renames:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with contextlib.suppress(KeyboardInterrupt):
            cleaned(tmp_path, reshard=4)
    cleaned(tmp_path, reshard=4)
    assert contents(tmp_path / "cleaned") == contents(tmp_path / "whole")


def test_finished_tars_are_not_written_again(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    first = cleaned(tmp_path, reshard=4)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "cleaned").rglob("*.tar")}
    assert cleaned(tmp_path, reshard=4) == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cleaned").rglob("*.tar")} == times


def test_tars_that_are_no_longer_needed_go(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    cleaned(tmp_path, reshard=2)
    write_run(tmp_path, SHARDS, {(key, 0): 0.9 for key in "abc"})
    assert list(cleaned(tmp_path, reshard=2).sizes) == ["00000.tar"]
    assert not (tmp_path / "cleaned/00001.tar").exists()


def test_another_size_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    cleaned(tmp_path, reshard=2)
    with pytest.raises(OutputExistsError, match="reshard: 2 -> 3"):
        cleaned(tmp_path, reshard=3)


def test_a_size_of_no_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reshard is 0"):
        cleaned(tmp_path, reshard=0)


@given(st.lists(st.sampled_from(["a", "b", "a_1", "a_1_1", "c"]), max_size=12))
def test_tagged_keys_are_unique_and_the_first_of_each_is_untouched(keys: list[str]) -> None:
    tags = key_tags(keys)
    tagged = [key + tag for key, tag in zip(keys, tags, strict=True)]
    assert len(set(tagged)) == len(keys)
    assert all(not tags[keys.index(key)] for key in keys)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 7))
def test_packs_hold_every_kept_sample_once_and_in_order(n_kept: list[int], size: int) -> None:
    jobs = [
        CleanJob(ScoredShard(str(i), "", 0, "", "", Path()), Path(), "auto", Rules(threshold=0.5))
        for i in range(len(n_kept))
    ]
    packs = plan_packs(jobs, n_kept, size)
    flat = [
        (piece.job.shard.name, i)
        for pack in packs
        for piece in pack.pieces
        for i in range(piece.start, piece.stop)
    ]
    assert flat == [(str(i), k) for i, n in enumerate(n_kept) for k in range(n)]
    sizes = [sum(piece.stop - piece.start for piece in pack.pieces) for pack in packs]
    assert all(n == size for n in sizes[:-1])
    assert all(0 < n <= size for n in sizes)
