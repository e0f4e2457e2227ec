import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ncaudit.audit import clean_shard
from ncaudit.audit.clean import CleanConfig, CleanSummary, clean
from ncaudit.audit.clean_shard import CleanTally
from ncaudit.errors import ConfigError, InputError, OutputExistsError, ShardsFailedError
from ncaudit.files import read_json, write_json
from tests.support.runs import score_by_hand, write_run
from tests.support.shards import jpeg, json_bytes, pair, tar_bytes, write_shard

SHARDS = {
    "0": [("a", pair("red", "red")), ("b", pair("blue", "red")), ("c", pair("green", "green"))],
    "1": [("d", pair("red", "blue")), ("e", {"jpg": jpeg("red"), "npy": b"\x00" * 700})],
}
BAD = {("b", 0): 0.9, ("d", 0): 0.5}


def cleaned(folder: Path, **settings: Any) -> CleanSummary:
    out = folder / settings.pop("out", "cleaned")
    config = CleanConfig(run=folder / "audit", out=out, **settings)
    return clean(config, settings.pop("on_shard", lambda _: None))


def members(tar: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(tar, "r:") as file:
        return [(info.name, file.extractfile(info).read()) for info in file]  # type: ignore[union-attr]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def outcomes(folder: Path, shards: tuple[str, ...] = ("0", "1")) -> dict[str, str]:
    """Return key to status over the cleaned and the rejected tables."""
    tables = [f"{inner}{shard}.parquet" for inner in ("", "rejected/") for shard in shards]
    rows = [row for table in tables for row in pq.read_table(folder / table).to_pylist()]
    return {f"{row['key']}{row['caption_index'] or ''}": row["status"] for row in rows}


def notes(tar: Path) -> dict[str, Any]:
    return {
        name.removesuffix(".json"): json.loads(content)["ncaudit"]
        for name, content in members(tar)
        if name.endswith(".json")
    }


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
        tars=("0.tar",),
        has_uids=False,
        totals={
            "n_pairs": 5,
            "n_kept": 2,
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


def test_verdicts_about_unknown_pairs_write_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    (tmp_path / "v.csv").write_text("shard,key,caption_index,verdict\n0,zebra,0,match\n")
    with pytest.raises(ConfigError, match="0,zebra,0"):
        cleaned(tmp_path, verdicts=tmp_path / "v.csv")
    assert not (tmp_path / "cleaned").exists()


# Several captions per image.
FIVE = ["one", "two", "three"]


def several(txt: str, captions: list[Any], **more: Any) -> dict[str, bytes]:
    values = {"url": "x", "captions": captions, **more}
    return {
        "jpg": jpeg("red"),
        "json": json_bytes(values),
        "txt": txt.encode(),
        "npy": b"\x01" * 9,
    }


def test_bad_captions_leave_and_the_sample_stays(tmp_path: Path) -> None:
    samples = [("a", several("one", FIVE)), ("b", several("one", FIVE)), ("c", several("x", FIVE))]
    bad = {("a", 0): 0.9, ("a", 2): 0.8, ("b", 1): 0.9, ("c", 0): 0.9}
    write_run(tmp_path, {"0": samples}, bad, captions="json:captions")
    summary = cleaned(tmp_path)
    assert members(tmp_path / "cleaned/0.tar") == [
        ("a.jpg", jpeg("red")),
        ("a.json", b'{"url": "x", "captions": ["two"]}'),
        ("a.txt", b"two"),
        ("a.npy", b"\x01" * 9),
        ("b.jpg", jpeg("red")),
        ("b.json", b'{"url": "x", "captions": ["one", "three"]}'),
        ("b.txt", b"one"),
        ("b.npy", b"\x01" * 9),
        ("c.jpg", jpeg("red")),
        ("c.json", b'{"url": "x", "captions": ["two", "three"]}'),
        ("c.txt", b"x"),  # was none of the captions: left alone
        ("c.npy", b"\x01" * 9),
    ]
    assert not (tmp_path / "cleaned/rejected/0.tar").exists()
    totals = summary.totals
    assert [totals[n] for n in ("n_pairs", "n_kept", "n_dropped", "n_rewritten")] == [9, 5, 4, 3]


def test_a_sample_leaves_when_all_its_captions_do(tmp_path: Path) -> None:
    samples = [("a", several("one", FIVE)), ("b", several("one", FIVE))]
    bad = {("a", i): 0.9 for i in range(3)}
    write_run(tmp_path, {"0": samples}, bad, captions="json:captions")
    cleaned(tmp_path)
    assert [name for name, _ in members(tmp_path / "cleaned/0.tar")] == [
        "b.jpg",
        "b.json",
        "b.txt",
        "b.npy",
    ]
    note = notes(tmp_path / "cleaned/rejected/0.tar")["a"]
    assert [entry["caption_index"] for entry in note["pairs"]] == [0, 1, 2]


def test_captions_that_could_not_be_scored_leave_too(tmp_path: Path) -> None:
    samples = [("a", several("", ["", 7, "good"], title=None))]
    write_run(tmp_path, {"0": samples}, {}, captions="json:CAPTIONS")
    summary = cleaned(tmp_path)
    assert dict(members(tmp_path / "cleaned/0.tar"))["a.json"] == (
        b'{"url": "x", "captions": ["good"], "title": null}'
    )
    assert (summary.totals["n_kept"], summary.totals["n_rejected"]) == (1, 2)
    assert outcomes(tmp_path / "cleaned", ("0",)) == {
        "a2": "success",
        "a": "caption_empty",
        "a1": "caption_not_text",
    }


def test_auto_finds_the_list_that_scoring_found(tmp_path: Path) -> None:
    values = {"caption": None, "Captions": ["one", "two"]}
    samples = [("a", {"jpg": jpeg("red"), "json": json_bytes(values)})]
    write_run(tmp_path, {"0": samples}, {("a", 0): 0.9})
    cleaned(tmp_path)
    assert dict(members(tmp_path / "cleaned/0.tar"))["a.json"] == (
        b'{"caption": null, "Captions": ["two"]}'
    )


def test_a_rewritten_member_keeps_its_owner_mode_and_time(tmp_path: Path) -> None:
    write_run(
        tmp_path, {"0": [("a", several("one", FIVE))]}, {("a", 1): 1.0}, captions="json:captions"
    )
    cleaned(tmp_path)
    headers = []
    for tar in ("shards/0.tar", "cleaned/0.tar"):
        with tarfile.open(tmp_path / tar) as file:
            headers.append([(i.name, i.mode, i.mtime, i.uid, i.uname) for i in file])
    assert headers[0] == headers[1]


# Damaged input.
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
    assert cleaned(tmp_path).tars == ()
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


def test_nested_shards_get_sizes_beside_them_too(tmp_path: Path) -> None:
    write_run(tmp_path, {"x/0": SHARDS["0"], "y/z/1": SHARDS["0"]}, BAD)
    cleaned(tmp_path)
    out = tmp_path / "cleaned"
    assert read_json(out / "sizes.json") == {"x/0.tar": 2, "y/z/1.tar": 2}
    assert read_json(out / "x/sizes.json") == {"0.tar": 2}
    assert read_json(out / "y/z/sizes.json") == {"1.tar": 2}
    assert read_json(out / "rejected/x/sizes.json") == {"0.tar": 1}


# uids
def with_uid(uid: str) -> dict[str, bytes]:
    return pair("red", "red") | {"json": json_bytes({"uid": uid})}


def test_uids_of_kept_samples_are_written_as_datacomp_has_them(tmp_path: Path) -> None:
    uids = ["f" * 32, "0" * 31 + "2", "0" * 32]
    samples = [(key, with_uid(uid)) for key, uid in zip("abc", uids, strict=True)]
    write_run(tmp_path, {"0": samples}, {("c", 0): 0.9})
    assert cleaned(tmp_path).has_uids
    found = np.load(tmp_path / "cleaned/subset_uids.npy", allow_pickle=False)
    assert found.dtype == np.dtype("u8,u8")
    assert found.tolist() == [(0, 2), (2**64 - 1, 2**64 - 1)]


def test_no_uids_are_written_if_one_sample_has_none(tmp_path: Path) -> None:
    samples = [("a", with_uid("f" * 32)), ("b", with_uid("short"))]
    write_run(tmp_path, {"0": samples}, {})
    assert not cleaned(tmp_path).has_uids
    assert not (tmp_path / "cleaned/subset_uids.npy").exists()


# Refusals.
def test_a_run_that_is_missing_or_not_complete_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        cleaned(tmp_path)
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "audit/run.json").unlink()
    with pytest.raises(InputError, match="not complete"):
        cleaned(tmp_path)


def test_a_run_without_one_of_its_parts_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "audit/scores/1.parquet").unlink()
    with pytest.raises(InputError, match="no scores for 1"):
        cleaned(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"shards": [{}]}', '{"shards": 3}'])
def test_a_broken_run_json_is_refused(tmp_path: Path, content: str) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "audit/run.json").write_text(content)
    with pytest.raises(InputError, match="is not a run of ncaudit"):
        cleaned(tmp_path)


def test_a_shard_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, SHARDS, {}) / "run.json"
    content = read_json(run)
    content["shards"][0]["name"] = "../0"
    write_json(run, content)
    with pytest.raises(InputError, match="not a shard name"):
        cleaned(tmp_path)


def test_a_run_without_probabilities_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {(key, 0): None for key in "abcde"})  # type: ignore[dict-item, misc]
    with pytest.raises(InputError, match="has a p_mismatch"):
        cleaned(tmp_path)


def test_a_shard_that_changed_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    write_shard(tmp_path / "shards/1.tar", SHARDS["0"])
    with pytest.raises(OutputExistsError, match="changed since they were scored: 1"):
        cleaned(tmp_path)
    assert not (tmp_path / "cleaned").exists()


def test_a_shard_with_another_time_but_the_same_bytes_is_the_same(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    os.utime(tmp_path / "shards/1.tar", (1, 1))
    assert cleaned(tmp_path).totals["n_pairs"] == 5


def test_a_shard_that_is_gone_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "shards/1.tar").unlink()
    with pytest.raises(InputError, match="does not exist"):
        cleaned(tmp_path)


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "cleaned").mkdir()
    (tmp_path / "cleaned/mine.txt").touch()
    with pytest.raises(OutputExistsError):
        cleaned(tmp_path)
    assert [path.name for path in (tmp_path / "cleaned").iterdir()] == ["mine.txt"]


def test_another_threshold_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    cleaned(tmp_path)
    with pytest.raises(OutputExistsError, match=r"threshold: 0\.5 -> 0\.25"):
        cleaned(tmp_path, threshold=0.25)


def test_the_run_itself_is_no_place_for_cleaned_shards(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the run itself"):
        cleaned(tmp_path, out="audit")


# Resume.
def test_finished_shards_are_not_written_again(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    first = cleaned(tmp_path)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "cleaned").rglob("*.tar")}
    assert cleaned(tmp_path) == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cleaned").rglob("*.tar")} == times


@pytest.mark.parametrize(
    "lost",
    [
        "0.tar",
        "0.parquet",
        "rejected/1_stats.json",
        "ledger/clean/0.json",
        "sizes.json",
        "clean.json",
        "ledger/identity.json",
    ],
)
def test_what_is_lost_is_written_again(tmp_path: Path, lost: str) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    whole = contents(tmp_path / "cleaned")
    (tmp_path / "cleaned" / lost).unlink()
    (tmp_path / "cleaned/.tmp-9-0.tar").touch()
    if lost == "ledger/identity.json":
        # Without it the folder cannot be told from anyone's.
        with pytest.raises(OutputExistsError):
            cleaned(tmp_path)
        return
    cleaned(tmp_path)
    assert contents(tmp_path / "cleaned") == whole


def test_scores_that_changed_in_between_are_cleaned_again(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    shutil.rmtree(tmp_path / "audit")
    score_by_hand(tmp_path, {("a", 0): 0.9, ("b", 0): 0.9, ("c", 0): 0.9})
    assert cleaned(tmp_path).tars == ("1.tar",)
    assert not (tmp_path / "cleaned/0.tar").exists()


@pytest.mark.parametrize("n_renames", range(0, 24, 3))
def test_a_clean_that_ends_at_any_rename_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_renames: int
) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, out="whole")
    replace, calls = Path.replace, itertools.count()

    def stop(self: Path, target: Path) -> Path:
        if next(calls) == n_renames:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with contextlib.suppress(KeyboardInterrupt):
            cleaned(tmp_path)
    cleaned(tmp_path)
    assert contents(tmp_path / "cleaned") == contents(tmp_path / "whole")


def test_a_shard_in_a_folder_called_rejected_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": SHARDS["0"], "1": SHARDS["1"]}, {})
    content = read_json(tmp_path / "audit/run.json")
    content["shards"][1]["name"] = "rejected/0"
    write_json(tmp_path / "audit/run.json", content)
    (tmp_path / "audit/scores/rejected").mkdir()
    shutil.copy(tmp_path / "audit/scores/1.parquet", tmp_path / "audit/scores/rejected/0.parquet")
    with pytest.raises(InputError, match="folder called 'rejected'"):
        cleaned(tmp_path)


# Failures.
def test_a_shard_that_is_not_what_was_scored_fails_alone(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    stat = (tmp_path / "shards/0.tar").stat()
    write_shard(tmp_path / "shards/0.tar", [("z", pair("red", "red")), *SHARDS["0"][1:]])
    os.utime(tmp_path / "shards/0.tar", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ShardsFailedError, match="sample 0 is 'z', not 'a'"):
        cleaned(tmp_path)
    assert (tmp_path / "cleaned/rejected/1.tar").exists()
    assert not (tmp_path / "cleaned/0.tar").exists()
    assert not (tmp_path / "cleaned/clean.json").exists()


def test_a_shard_with_fewer_samples_than_were_scored_fails(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": SHARDS["0"]}, {})
    stat = (tmp_path / "shards/0.tar").stat()
    content = bytearray((tmp_path / "shards/0.tar").read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (tmp_path / "shards/0.tar").write_bytes(content)
    os.utime(tmp_path / "shards/0.tar", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ShardsFailedError, match="3 were scored"):
        cleaned(tmp_path)


def test_a_full_disk_stops_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, out="whole")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(clean_shard, "end_archive", full)
        with pytest.raises(ShardsFailedError, match="is full") as caught:
            cleaned(tmp_path)
    assert caught.value.hint == "Free some space and run the same command again."
    assert list((tmp_path / "cleaned").rglob(".tmp-*")) == []
    cleaned(tmp_path)
    assert contents(tmp_path / "cleaned") == contents(tmp_path / "whole")
