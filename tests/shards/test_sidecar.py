from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ncaudit.shards.sidecar import Sidecar, read_sidecar, sidecar_path, sidecar_stamp

KEYS = ["000", "001", "002"]
# As img2dataset leaves it: failures are in it, and the order is that of the downloads.
ROWS = [
    {"key": "002", "status": "success", "uid": "c" * 32, "similarity": 0.3, "url": "u2"},
    {"key": "009", "status": "failed_to_download", "uid": "9" * 32, "similarity": 0.9, "url": "u"},
    {"key": "000", "status": "success", "uid": "a" * 32, "similarity": 0.1, "url": "u0"},
    {"key": "001", "status": "success", "uid": "b" * 32, "similarity": 0.2, "url": "u1"},
]


def beside(folder: Path, rows: list[dict[str, Any]], **columns: Any) -> str:
    """Write the sidecar of a shard and return the shard's path."""
    table = pa.Table.from_pylist(rows)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, folder / "00000.parquet")
    return str(folder / "00000.tar")


def read(shard: str, keys: list[str] = KEYS) -> Sidecar:
    return read_sidecar(shard, keys, [0] * len(keys))


def test_rows_are_joined_by_key_and_never_by_order(tmp_path: Path) -> None:
    found = read(beside(tmp_path, ROWS))
    assert found.numbers == {"sidecar_similarity": [0.1, 0.2, 0.3]}
    assert found.texts == {"uid": ["a" * 32, "b" * 32, "c" * 32], "url": ["u0", "u1", "u2"]}
    assert found.problem == ""


def test_rows_that_failed_are_no_rows(tmp_path: Path) -> None:
    found = read(beside(tmp_path, ROWS), ["000", "009"])
    assert found.numbers == {"sidecar_similarity": [0.1, None]}
    assert found.problem == "it lacks 1 of 2 keys"


def test_columns_of_text_and_of_the_stored_size_are_left_out(tmp_path: Path) -> None:
    shard = beside(tmp_path, ROWS, TEXT=list("abcd"), width=[1] * 4, punsafe=[0.5] * 4)
    assert list(read(shard).numbers) == ["sidecar_similarity", "sidecar_punsafe"]


def test_names_match_in_any_letter_case(tmp_path: Path) -> None:
    rows = [{"key": "000", "status": "success", "URL": "u", "NSFW": 1}]
    found = read(beside(tmp_path, rows), ["000"])
    assert found.texts == {"url": ["u"]}
    assert found.numbers == {"sidecar_NSFW": [1]}


def test_numbers_that_are_not_finite_are_empty(tmp_path: Path) -> None:
    rows = [
        {"key": key, "status": "success", "score": score}
        for key, score in zip(KEYS, (float("nan"), float("inf"), 1.5), strict=True)
    ]
    assert read(beside(tmp_path, rows)).numbers == {"sidecar_score": [None, None, 1.5]}


def test_tables_of_several_captions_are_joined_by_caption_too(tmp_path: Path) -> None:
    rows = [
        {"key": "000", "status": "success", "caption_index": index, "score": float(index)}
        for index in (1, 0)
    ]
    found = read_sidecar(beside(tmp_path, rows), ["000", "000"], [0, 1])
    assert found.numbers == {"sidecar_score": [0.0, 1.0]}


def test_a_key_that_comes_again_is_told(tmp_path: Path) -> None:
    found = read(beside(tmp_path, [*ROWS, ROWS[0] | {"similarity": 0.7}]))
    assert found.numbers["sidecar_similarity"] == [0.1, 0.2, 0.3]
    assert found.problem == "1 keys come again; their first row counts"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 99 + b"PAR1", b"<html>"])
def test_what_is_no_parquet_is_a_problem_and_no_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00000.parquet").write_bytes(content)
    found = read(str(tmp_path / "00000.tar"))
    assert found.problem.startswith("it cannot be read: ")
    assert "\n" not in found.problem
    assert found.numbers == {}


@pytest.mark.parametrize("drop", ["key", "status"])
def test_a_table_of_something_else_is_a_problem(tmp_path: Path, drop: str) -> None:
    rows = [{name: value for name, value in row.items() if name != drop} for row in ROWS]
    assert f"called {drop}" in read(beside(tmp_path, rows)).problem


def test_keys_that_are_numbers_are_a_problem(tmp_path: Path) -> None:
    found = read(beside(tmp_path, [{"key": 0, "status": "success"}]))
    assert "column of text called key" in found.problem


def test_a_shard_without_a_sidecar_has_nothing_to_tell(tmp_path: Path) -> None:
    found = read(str(tmp_path / "00000.tar"))
    assert (found.numbers, found.texts, found.problem) == ({}, {}, "")
    assert sidecar_stamp(str(tmp_path / "00000.tar")) == ""


@pytest.mark.parametrize(
    ("shard", "expected"),
    [
        ("a/00000.tar", "a/00000.parquet"),
        ("a/00000.tar.gz", "a/00000.parquet"),
        ("s3://bucket/0.tgz", "s3://bucket/0.parquet"),
        ("https://host/00000.tar", None),
        ("a/shard", None),
    ],
)
def test_the_sidecar_lies_beside_the_tar(shard: str, expected: str | None) -> None:
    assert sidecar_path(shard) == expected


def test_sidecars_in_object_stores_are_read(tmp_path: Path) -> None:
    beside(tmp_path, ROWS)
    content = (tmp_path / "00000.parquet").read_bytes()
    fsspec.filesystem("memory").pipe("/sidecar/00000.parquet", content)
    found = read("memory://sidecar/00000.tar")
    assert found.numbers == {"sidecar_similarity": [0.1, 0.2, 0.3]}
    assert read("memory://sidecar/00001.tar").problem == ""
