from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ncaudit.report.columns import AUDIT_COLUMNS, PART_COLUMNS
from ncaudit.report.parts import read_part, write_part

ROWS: dict[str, Any] = {
    "shard": ["0", "0"],
    "key": ["a", "b"],
    "caption_index": [0, 0],
    "status": ["scored", "image_missing"],
}


def test_a_part_has_every_column_in_order_and_empty_where_nothing_is_known(tmp_path: Path) -> None:
    write_part(tmp_path / "x/0.parquet", ROWS)
    table = read_part(tmp_path / "x/0.parquet")
    assert table.column_names == [column.name for column in AUDIT_COLUMNS + PART_COLUMNS]
    assert table["p_mismatch"].to_pylist() == [None, None]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["0.parquet"]


def test_types_do_not_depend_on_the_values(tmp_path: Path) -> None:
    full = ROWS | {
        "p_mismatch": np.array([0.5, np.nan], np.float16),
        "similarity": np.ma.masked_invalid(np.array([0.25, np.nan], np.float32)),
        "rematch_mutual": [True, None],
        "image_width": np.array([640.0, np.nan]),
        "caption": np.array(["é\n", None], object),
    }
    write_part(tmp_path / "empty.parquet", ROWS)
    write_part(tmp_path / "full.parquet", full)
    table = read_part(tmp_path / "full.parquet")
    assert table.schema == read_part(tmp_path / "empty.parquet").schema
    names = ["p_mismatch", "similarity", "rematch_mutual", "image_width", "caption"]
    assert table.select(names).to_pylist() == [
        {
            "p_mismatch": 0.5,
            "similarity": 0.25,
            "rematch_mutual": True,
            "image_width": 640,
            "caption": "é\n",
        },
        dict.fromkeys(names),
    ]


def test_further_columns_follow(tmp_path: Path) -> None:
    write_part(tmp_path / "0.parquet", ROWS | {"fold": np.array([3, 1])})
    assert read_part(tmp_path / "0.parquet").column_names[-1] == "fold"
    assert read_part(tmp_path / "0.parquet", ["key", "fold"]).to_pylist() == [
        {"key": "a", "fold": 3},
        {"key": "b", "fold": 1},
    ]


def test_a_part_without_pairs_keeps_its_types(tmp_path: Path) -> None:
    write_part(tmp_path / "0.parquet", {name: [] for name in ROWS})
    table = read_part(tmp_path / "0.parquet")
    assert (table.num_rows, table.schema.field("p_low").type) == (0, pa.float64())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_mismatch": [0.1, np.inf]}, "p_mismatch has infinite values"),
        ({"caption": ["one"]}, "caption has 1 values for 2 pairs"),
    ],
)
def test_what_cannot_be_a_column_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_part(tmp_path / "0.parquet", ROWS | change)
    assert list(tmp_path.iterdir()) == []


def test_a_part_needs_the_columns_that_name_its_pairs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column status"):
        write_part(tmp_path / "0.parquet", {k: v for k, v in ROWS.items() if k != "status"})
