"""The Parquet file that img2dataset leaves beside a tar: `00000.parquet` for `00000.tar`.

It has a row for every URL, failures too, in an order of its own, so that rows are found by
`key` alone. It is only ever read, and nothing in it can stop a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ncaudit.errors import first_line
from ncaudit.files import is_url, open_read

PREFIX = "sidecar_"
MAX_TEXT_CHARS = 2000
_MAX_ROWS = 5_000_000
_MAX_COLUMNS = 64
_TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_SUCCESS = "success"
# The size of the stored image is measured, not believed; the others say which row it is.
_OWN = ("key", "status", "caption_index", "width", "height")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sidecar:
    """What the sidecar says of some pairs.

    Attributes:
        texts: `uid` and `url`, where it has them: one value per pair, None if unknown.
        numbers: Each column of numbers as `sidecar_NAME`: one value per pair, likewise.
        problem: What is wrong with it, for people, or "".
    """

    texts: dict[str, list[str | None]] = field(default_factory=dict)
    numbers: dict[str, list[float | None]] = field(default_factory=dict)
    problem: str = ""


def sidecar_path(shard: str) -> str | None:
    """Return where the sidecar of a shard would be.

    None for `http://` and `https://`: such servers answer what they like about files that
    are not there.
    """
    suffix = next((end for end in _TAR_SUFFIXES if shard.endswith(end)), None)
    if suffix is None or shard.startswith(("http://", "https://")):
        return None
    return f"{shard.removesuffix(suffix)}.parquet"


def sidecar_stamp(shard: str) -> str:
    """Return size and time of a local shard's sidecar as text; "" if there is none."""
    path = sidecar_path(shard)
    if path is None or is_url(path):
        return ""
    try:
        found = Path(path).stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def read_sidecar(shard: str, keys: Sequence[str], caption_index: Sequence[int]) -> Sidecar:
    """Look up the pairs of a shard in its sidecar, by key, among rows of status `success`.

    A sidecar with a column `caption_index`, as `ncaudit clean` writes it, is joined by that
    too. A pair that is not in the sidecar has no values.

    Args:
        shard: Path or URL of the tar.
        keys: Key of each pair; "" where there is none.
        caption_index: Caption index of each pair.

    Returns:
        An empty one if there is no sidecar; one with a `problem` if it is of no use.
    """
    import pyarrow as pa

    path = sidecar_path(shard)
    if path is None:
        return Sidecar()
    try:
        with open_read(path) as file:
            return _read(file, keys, caption_index)
    except FileNotFoundError:
        return Sidecar()
    except (OSError, ValueError, TypeError, LookupError, MemoryError, pa.ArrowException) as error:
        return Sidecar(problem=f"it cannot be read: {first_line(error)}")


def _read(file: Any, keys: Sequence[str], caption_index: Sequence[int]) -> Sidecar:
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    schema = parquet.schema_arrow
    if missing := [name for name in ("key", "status") if not _is_text(schema, name)]:
        return Sidecar(problem=f"it has no column of text called {' or '.join(missing)}")
    if parquet.metadata.num_rows > _MAX_ROWS:
        return Sidecar(problem=f"{parquet.metadata.num_rows:,} rows are too many for one shard")
    texts = {name: _named(schema, name) for name in ("uid", "url")}
    numbers = _number_columns(schema)
    names = {"key", "status", *filter(None, texts.values()), *numbers}
    has_index = "caption_index" in schema.names
    table = parquet.read(columns=[*names, *(["caption_index"] if has_index else [])])
    at, problem = _rows_of(table, keys, caption_index if has_index else None)
    return Sidecar(
        texts={
            name: [text and text[:MAX_TEXT_CHARS] for text in _taken(table[column], at)]
            for name, column in texts.items()
            if column
        },
        numbers={f"{PREFIX}{name}": _taken(_finite(table[name]), at) for name in numbers},
        problem=problem,
    )


def _rows_of(
    table: Any, keys: Sequence[str], caption_index: Sequence[int] | None
) -> tuple[list[int | None], str]:
    """Return the row of each pair, and what is wrong with the sidecar's keys, or ""."""
    names: list[Any] = table["key"].to_pylist()
    wanted: list[Any] = list(keys)
    if caption_index is not None:
        names = list(zip(names, table["caption_index"].to_pylist(), strict=True))
        wanted = list(zip(keys, caption_index, strict=True))
    is_good = [status == _SUCCESS for status in table["status"].to_pylist()]
    rows = [row for row, good in enumerate(is_good) if good]
    first = {names[row]: row for row in reversed(rows)}
    unknown = {pair for pair, key in zip(wanted, keys, strict=True) if key and pair not in first}
    problems = []
    if unknown:
        n_known = len({pair for pair, key in zip(wanted, keys, strict=True) if key})
        problems.append(f"it lacks {len(unknown):,} of {n_known:,} keys")
    if len(first) < len(rows):
        problems.append(f"{len(rows) - len(first):,} keys come again; their first row counts")
    return [first.get(pair) for pair in wanted], "; ".join(problems)


def _taken(column: Any, rows: list[int | None]) -> list[Any]:
    import pyarrow as pa

    taken: list[Any] = column.take(pa.array(rows, pa.int64())).to_pylist()
    return taken


def _finite(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_uint64(kind)):
        return column
    column = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))


def _number_columns(schema: Any) -> list[str]:
    """Return the columns of numbers and flags, in the file's order, each name once."""
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    found = [
        column.name
        for column in schema
        if any(test(column.type) for test in tests) and column.name not in _OWN
    ]
    return [name for name in found if schema.names.count(name) == 1][:_MAX_COLUMNS]


def _named(schema: Any, name: str) -> str | None:
    """Return a column of text by its name in any letter case."""
    same = (column for column in schema.names if column.casefold() == name)
    return next((column for column in same if _is_text(schema, column)), None)


def _is_text(schema: Any, name: str) -> bool:
    import pyarrow as pa

    at = schema.get_field_index(name)  # -1 also where a name comes twice
    if at < 0:
        return False
    kind = schema.field(at).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
