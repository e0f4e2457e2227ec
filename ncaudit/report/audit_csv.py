"""audit.csv: the parts merged into one table that is safe to open in a spreadsheet."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ncaudit.files import atomic_path
from ncaudit.report.columns import AUDIT_COLUMNS, Column, Kind
from ncaudit.report.safe_text import safe_cell

_BATCH_ROWS = 4096


def merge_csv(parts: Sequence[Path], target: Path) -> int:
    r"""Write the rows of `parts`, in the order given, as one CSV.

    UTF-8, `\n` line ends, fields quoted where RFC 4180 asks for it. Numbers have six
    significant digits, flags are `true` and `false`, empty cells do not apply. Text
    cannot start a formula and holds no control characters (`safe_cell`), so a row is a
    line; the parts have the raw text. Memory does not grow with the number of rows.

    Returns:
        Number of rows, the header not counted.
    """
    n_rows = 0
    with (
        atomic_path(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in AUDIT_COLUMNS)
        for part in parts:
            for batch in _batches(part):
                writer.writerows(_rows(batch))
                n_rows += batch.num_rows
    return n_rows


def _batches(part: Path) -> Iterable[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(part) as file:
        names = [column.name for column in AUDIT_COLUMNS]
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=names)


def _rows(batch: Any) -> Iterable[tuple[str, ...]]:
    cells = [_cells(batch.column(column.name), column) for column in AUDIT_COLUMNS]
    return zip(*cells, strict=True)


def _cells(values: Any, column: Column) -> list[str]:
    if values.null_count == len(values):
        return [""] * len(values)
    show = _SHOW[column.kind]
    return ["" if value is None else show(value) for value in values.to_pylist()]


def _number(value: float) -> str:
    return format(value + 0.0, ".6g")  # + 0.0: no "-0"


def _flag(value: bool) -> str:  # noqa: FBT001 - the value of a cell
    return "true" if value else "false"


_SHOW: dict[Kind, Callable[[Any], str]] = {
    "text": safe_cell,
    "integer": str,
    "number": _number,
    "flag": _flag,
}
