"""The parts of the audit table: one Parquet file per shard, raw text, fixed types.

Separate from the CSV, because programs read these and people read that.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.files import atomic_path
from ncaudit.report.columns import AUDIT_COLUMNS, PART_COLUMNS, Column

REQUIRED = ("shard", "key", "caption_index", "status")
_ROW_GROUP = 65_536


def write_part(path: Path, table: Mapping[str, Any]) -> None:
    """Write one shard's rows: the audit's columns, the part's, then any others given.

    Args:
        path: `scores/{shard}.parquet`; it appears only when it is complete.
        table: Column to one value per pair: an array or a list. None, NaN and masked
            entries are empty cells; a column that is not given is empty throughout.
            Columns the table does not define keep their own type and follow in the
            order given.

    Raises:
        ValueError: If one of `REQUIRED` is missing, the columns differ in length, or a
            number is infinite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ValueError(f"no column {', '.join(missing)}")
    n_rows = len(table["key"])
    known = {column.name: column for column in AUDIT_COLUMNS + PART_COLUMNS}
    names = [*known, *(name for name in table if name not in known)]
    arrays = [_array(name, table.get(name), known.get(name), n_rows) for name in names]
    with atomic_path(path) as temporary:
        pq.write_table(
            pa.table(dict(zip(names, arrays, strict=True))),
            temporary,
            compression="zstd",
            row_group_size=_ROW_GROUP,
        )


def read_part(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read a part as a `pyarrow.Table`; all columns if `columns` is None."""
    import pyarrow.parquet as pq

    # One file, not a dataset: folders called `a=b` must not become columns.
    return pq.ParquetFile(path).read(columns=None if columns is None else list(columns))


def replace_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write a part again with other values in some columns of the table.

    Args:
        path: The part; it is replaced as a whole.
        columns: Name to one value per row, as in `write_part`.

    Raises:
        ValueError: If a column has not one value per row.
    """
    import pyarrow.parquet as pq

    table = read_part(path)
    known = {column.name: column for column in AUDIT_COLUMNS + PART_COLUMNS}
    for name, values in columns.items():
        array = _array(name, values, known[name], len(table))
        table = table.set_column(table.schema.get_field_index(name), name, array)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROW_GROUP)


def column_type(column: Column) -> Any:
    """Return the Arrow type of a column of the table."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "integer": pa.int32(),
        "number": pa.float64(),
        "numbers": pa.list_(pa.float32()),
        "flag": pa.bool_(),
    }
    return types[column.kind]


def _array(name: str, values: Any, column: Column | None, n_rows: int) -> Any:
    import pyarrow as pa

    if column is None:
        return _sized(name, pa.array(values, from_pandas=True), n_rows)
    kind = column_type(column)
    if values is None:
        return pa.nulls(n_rows, kind)
    array = _sized(name, pa.array(_widened(values), from_pandas=True).cast(kind), n_rows)
    if column.kind == "number" and np.isinf(array.drop_null().to_numpy()).any():
        raise ValueError(f"{name} has infinite values")
    return array


def _widened(values: Any) -> Any:
    # Arrow does not cast half floats.
    is_half = isinstance(values, np.ndarray) and values.dtype == np.float16
    return values.astype(np.float64) if is_half else values


def _sized(name: str, array: Any, n_rows: int) -> Any:
    if len(array) != n_rows:
        raise ValueError(f"{name} has {len(array)} values for {n_rows} pairs")
    return array
