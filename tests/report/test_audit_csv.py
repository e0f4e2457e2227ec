import csv
from pathlib import Path
from typing import Any

from ncaudit.report.audit_csv import merge_csv
from ncaudit.report.columns import AUDIT_COLUMNS
from ncaudit.report.parts import write_part

HEADER = (
    "shard,key,caption_index,status,verdict,p_mismatch,p_low,p_high,reasons,caption,"
    "similarity,neg_clip_loss,srem_energy_i2t,srem_energy_t2i,srem_uncertainty,"
    "srem_swapped_entropy,mscn_similarity,mscn_clean_posterior,crcl_label,"
    "crcl_match_probability,neighbour_discrepancy,"
    "rematch_shard,rematch_key,rematch_caption,rematch_similarity,rematch_confidence,"
    "rematch_p_mismatch,rematch_mutual"
)


def part(folder: Path, name: str, **columns: list[Any]) -> Path:
    n_rows = len(columns["key"])
    rows = {"shard": [name] * n_rows, "caption_index": [0] * n_rows, "status": ["scored"] * n_rows}
    path = folder / f"{name}.parquet"
    write_part(path, rows | columns)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_header_is_the_contract() -> None:
    assert ",".join(column.name for column in AUDIT_COLUMNS) == HEADER


def test_parts_are_merged_in_the_order_given(tmp_path: Path) -> None:
    parts = [part(tmp_path, "1", key=["c"]), part(tmp_path, "0", key=["a", "b"])]
    assert merge_csv(parts, tmp_path / "audit.csv") == 3
    assert [(r["shard"], r["key"]) for r in rows_of(tmp_path / "audit.csv")] == [
        ("1", "c"),
        ("0", "a"),
        ("0", "b"),
    ]


def test_the_bytes_of_a_small_table(tmp_path: Path) -> None:
    parts = [
        part(
            tmp_path,
            "0",
            key=["a", "-b"],
            p_mismatch=[1 / 3, None],
            similarity=[-0.0, 1.23456789e-7],
            rematch_mutual=[True, False],
            caption=['a "red", cat\n', "=HYPERLINK(1)"],
        )
    ]
    merge_csv(parts, tmp_path / "audit.csv")
    assert (tmp_path / "audit.csv").read_bytes().decode() == (
        f"{HEADER}\n"
        '0,a,0,scored,,0.333333,,,,"a ""red"", cat\\n",0,,,,,,,,,,,,,,,,,true\n'
        "0,'-b,0,scored,,,,,,'=HYPERLINK(1),1.23457e-07,,,,,,,,,,,,,,,,,false\n"
    )


def test_more_rows_than_a_batch_are_all_there(tmp_path: Path) -> None:
    keys = [f"{i:05d}" for i in range(10_000)]
    assert merge_csv([part(tmp_path, "0", key=keys)], tmp_path / "audit.csv") == 10_000
    assert [row["key"] for row in rows_of(tmp_path / "audit.csv")] == keys


def test_no_parts_give_a_header_only(tmp_path: Path) -> None:
    assert merge_csv([], tmp_path / "audit.csv") == 0
    assert (tmp_path / "audit.csv").read_text() == f"{HEADER}\n"
