"""Shards as img2dataset leaves them: a tar, its `.parquet` and its `_stats.json`."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.audits import ncaudit, score, write_striped
from tests.support.cleaning import contents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scored shards: one with a good sidecar in another order, one with a broken one."""
    folder = tmp_path_factory.mktemp("img2dataset")
    write_striped(folder, n_shards=2, n_pairs=120)
    keys = [f"00{row:05d}" for row in range(120)]
    write_sidecar(folder / "shards/0.parquet", keys[::-1])
    (folder / "shards/1.parquet").write_bytes(b"PAR1 and no more")
    before = contents(folder / "shards")
    done = score(folder, "--no-rematch")
    assert done.exit_code == 0, done.output
    assert contents(folder / "shards") == before
    (folder / "stderr").write_text(done.stderr)
    return folder


def write_sidecar(path: Path, keys: list[str]) -> None:
    failed = {"key": ["0099999"], "status": ["failed_to_download"], "similarity": [0.99]}
    failed |= {"clip_b32_similarity_score": [0.99], "uid": ["f" * 32], "url": ["http://x"]}
    good = {
        "key": keys,
        "status": ["success"] * len(keys),
        "similarity": [int(key) / 1000 for key in keys],
        "clip_b32_similarity_score": [int(key) / 2000 for key in keys],
        "uid": [f"{int(key):032x}" for key in keys],
        "url": [f"http://localhost/{key}" for key in keys],
    }
    columns = {name: failed[name] + values for name, values in good.items()}  # type: ignore[operator]
    pq.write_table(pa.table(columns), path)


def test_scores_that_people_had_stand_beside_ours(folder: Path) -> None:
    part = pq.read_table(folder / "audit/scores/0.parquet").to_pylist()
    assert all(row["sidecar_similarity"] == int(row["key"]) / 1000 for row in part)
    assert all(row["sidecar_clip_b32_similarity_score"] == int(row["key"]) / 2000 for row in part)
    assert any(row["similarity"] != row["sidecar_similarity"] for row in part)


def test_uid_and_url_come_from_the_sidecar_where_the_json_has_none(folder: Path) -> None:
    row = pq.read_table(folder / "audit/scores/0.parquet").to_pylist()[7]
    assert (row["uid"], row["url"]) == (f"{7:032x}", "http://localhost/0000007")


def test_a_broken_sidecar_is_a_warning_with_its_name(folder: Path) -> None:
    lines = [line for line in (folder / "stderr").read_text().splitlines() if "parquet" in line]
    assert len(lines) == 1
    assert "1: the .parquet beside it: it cannot be read" in lines[0]


def test_explain_shows_them(folder: Path) -> None:
    shown = ncaudit("explain", folder / "audit", "0000007").stdout
    assert "similarity 0.007, clip_b32_similarity_score 0.0035" in shown
    found = json.loads(ncaudit("explain", folder / "audit", "0000007", "--json").stdout)
    assert found["sidecar"] == {"similarity": 0.007, "clip_b32_similarity_score": 0.0035}


def test_the_csv_has_the_columns_it_always_has(folder: Path) -> None:
    header = (folder / "audit/audit.csv").read_text().splitlines()[0]
    assert "sidecar" not in header


def test_shards_with_and_without_a_sidecar_go_into_one_cleaned_tar(folder: Path) -> None:
    out = folder / "resharded"
    done = ncaudit("clean", folder / "audit", "-o", out, "--reshard", "1000", "--quiet")
    assert done.exit_code == 0, done.output
    assert not any("sidecar" in name for name in pq.read_schema(out / "00000.parquet").names)


def test_uids_of_the_sidecar_become_a_subset_for_datacomp(folder: Path) -> None:
    alone = folder / "alone"
    alone.mkdir()
    for name in ("0.tar", "0.parquet"):
        (alone / name).write_bytes((folder / "shards" / name).read_bytes())
    where = folder / "audit/model"
    words = ["--encoder", "toy", "--model", where, "--no-rematch", "--quiet"]
    assert ncaudit("score", alone, "-o", folder / "one", *words).exit_code == 0
    assert ncaudit("clean", folder / "one", "-o", folder / "out", "--quiet").exit_code == 0
    rows = pq.read_table(folder / "out/0.parquet").to_pylist()
    subset = np.load(folder / "out/subset_uids.npy", allow_pickle=False)
    assert [row[1] for row in subset.tolist()] == [int(row["key"]) for row in rows]
