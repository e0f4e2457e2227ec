from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ncaudit.files import read_json
from tests.support.cleaning import BAD, SHARDS, cleaned
from tests.support.runs import proposal, write_run
from tests.support.shards import json_bytes, pair


def test_nested_shards_get_sizes_beside_them_too(tmp_path: Path) -> None:
    write_run(tmp_path, {"x/0": SHARDS["0"], "y/z/1": SHARDS["0"]}, BAD)
    cleaned(tmp_path)
    out = tmp_path / "cleaned"
    assert read_json(out / "sizes.json") == {"x/0.tar": 2, "y/z/1.tar": 2}
    assert read_json(out / "x/sizes.json") == {"0.tar": 2}
    assert read_json(out / "y/z/sizes.json") == {"1.tar": 2}
    assert read_json(out / "rejected/x/sizes.json") == {"0.tar": 1}


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


def weights(table: Path) -> dict[str, float]:
    rows = pq.read_table(table, columns=["key", "weight"]).to_pylist()
    return {row["key"]: row["weight"] for row in rows}


def test_a_kept_pair_weighs_what_it_is_likely_to_be_right(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD | {("a", 0): 0.25})
    cleaned(tmp_path)
    assert weights(tmp_path / "cleaned/0.parquet") == {"a": 0.75, "c": 0.9}


def test_a_pair_that_a_person_vouched_for_weighs_1(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text("shard,key,caption_index,verdict\n0,b,0,match\n")
    cleaned(tmp_path, verdicts=verdicts)
    assert weights(tmp_path / "cleaned/0.parquet") == {"a": 0.9, "b": 1.0, "c": 0.9}


def test_a_repaired_pair_weighs_by_its_new_caption(tmp_path: Path) -> None:
    repaired = {("b", 0): proposal("blue", p_mismatch=0.05)}
    write_run(tmp_path, SHARDS, BAD, proposals=repaired)
    cleaned(tmp_path, apply_rematch=True)
    assert weights(tmp_path / "cleaned/0.parquet") == {"a": 0.9, "b": 0.95, "c": 0.9}
