"""Embeddings of the kept pairs in the layout of clip-retrieval, whose index reads them.

`img_emb/img_emb_{i}.npy` and `text_emb/text_emb_{i}.npy` are float16 unit rows,
`metadata/metadata_{i}.parquet` names them row by row. Its reader puts the three folders in
the order of file names and zips them, so that `i` has the same width everywhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.embeddings.cache import read_ids, read_marker, shard_folder
from ncaudit.errors import InputError
from ncaudit.files import atomic_folder, remove_tree
from ncaudit.types import Floats, Ints, Status

ROWS_PER_FILE = 1_000_000
_COLUMNS = ("key", "caption", "caption_index", "uid", "url", "p_mismatch", "weight")
# Columns of a cleaned table that only resharding, or repairing, adds.
_SOURCE = ("source_shard", "source_key")
_DONOR = ("rematch_shard", "rematch_key")


@dataclass(frozen=True, slots=True)
class _Donor:
    """A kept pair whose caption comes from another sample.

    Attributes:
        shard: Shard of that sample.
        key: Its key.
        caption: The caption.
        row: Row of the pair in the export.
    """

    shard: str
    key: str
    caption: str
    row: int


def export_embeddings(
    cache: Path, out: Path, tables: Sequence[tuple[str, Path]], rows_per_file: int = ROWS_PER_FILE
) -> int:
    """Write `img_emb`, `text_emb` and `metadata` of the kept pairs, in the order of the tars.

    Only one shard's table is in memory at a time. A pair that was repaired has the
    embedding of the caption it has now.

    Args:
        cache: Embedding cache of the run.
        out: Folder to write; replaced as a whole, and absent if there is no kept pair.
        tables: Name of each cleaned tar, and its table.
        rows_per_file: Rows of a file, at most.

    Returns:
        The number of rows.

    Raises:
        InputError: If the cache does not hold a pair.
    """
    import pyarrow.parquet as pq

    n_rows = sum(int(pq.read_metadata(path).num_rows) for _, path in tables)
    if not n_rows:
        remove_tree(out)
        return 0
    donors: list[_Donor] = []
    with atomic_folder(out) as temporary, ExitStack() as open_files:
        files = _Files(temporary, n_rows, rows_per_file, open_files)
        row = 0
        for name, path in tables:
            table = pq.ParquetFile(path).read()
            for shard, piece in _by_shard(table, name):
                image, caption = _embeddings_of(cache, shard, piece)
                files.write(row, image, caption, piece)
                donors += _donors(piece, row)
                row += piece.num_rows
        _repair(cache, files, donors)
    return n_rows


class _Files:
    """The files of the export, filled from the first row to the last.

    Args:
        folder: Where.
        n_rows: Rows in all.
        size: Rows of a file, at most.
        open_files: Closes them.
    """

    def __init__(self, folder: Path, n_rows: int, size: int, open_files: ExitStack) -> None:
        starts = range(0, n_rows, size)
        self._folder, self._size, self._n_rows = folder, size, n_rows
        self._width = len(str(len(starts)))
        self._open_files = open_files
        self._arrays: dict[tuple[str, int], Floats] = {}
        self._metadata: dict[int, Any] = {}
        for kind in ("img_emb", "text_emb", "metadata"):
            (folder / kind).mkdir()

    def write(self, row: int, image: Floats, caption: Floats, table: Any) -> None:
        """Write rows from `row` on; each array has one per row of `table`."""
        done = 0
        while done < table.num_rows:
            at, inside = divmod(row + done, self._size)
            n = min(self._size - inside, table.num_rows - done)
            rows = slice(done, done + n)
            self._array("img_emb", at, image.shape[1])[inside : inside + n] = image[rows]
            self._array("text_emb", at, caption.shape[1])[inside : inside + n] = caption[rows]
            self._writer(at).write_table(_metadata(table.slice(done, n)))
            done += n

    def replace_caption(self, row: int, caption: Floats) -> None:
        """Put another caption's embedding, shape (d,), in a row that is written."""
        at, inside = divmod(row, self._size)
        self._array("text_emb", at, len(caption))[inside] = caption

    def _array(self, kind: str, at: int, dim: int) -> Floats:
        if (kind, at) not in self._arrays:
            shape = (min(self._size, self._n_rows - at * self._size), dim)
            path = self._path(kind, at, "npy")
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
            self._arrays[kind, at] = array
            self._open_files.callback(array.flush)
        return self._arrays[kind, at]

    def _writer(self, at: int) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if at not in self._metadata:
            schema = pa.schema([(name, _kind(name)) for name in ("image_path", *_COLUMNS)])
            writer = pq.ParquetWriter(self._path("metadata", at, "parquet"), schema)
            self._metadata[at] = self._open_files.enter_context(writer)
        return self._metadata[at]

    def _path(self, kind: str, at: int, suffix: str) -> Path:
        return self._folder / kind / f"{kind}_{at:0{self._width}d}.{suffix}"


def _kind(name: str) -> Any:
    import pyarrow as pa

    if name == "caption_index":
        return pa.int32()
    return pa.float64() if name in ("p_mismatch", "weight") else pa.string()


def _metadata(table: Any) -> Any:
    import pyarrow as pa

    columns = {"image_path": table["key"]} | {name: table[name] for name in _COLUMNS}
    return pa.table({name: values.cast(_kind(name)) for name, values in columns.items()})


def _by_shard(table: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Give the rows of a cleaned table shard by shard: the one they were scored in."""
    if _SOURCE[0] not in table.column_names:
        yield name, table
        return
    start = 0
    for shard, rows in groupby(table[_SOURCE[0]].to_pylist()):
        n = len(list(rows))
        yield shard, table.slice(start, n)
        start += n


def _embeddings_of(cache: Path, shard: str, table: Any) -> tuple[Floats, Floats]:
    """Return image and own caption of each row of a cleaned table, of one shard."""
    ids = _scored_ids(cache, shard)
    pairs = zip(ids["key"], ids["caption_index"], ids["embedding_row"], strict=True)
    at = {(key, index): row for key, index, row in pairs}
    keys = table[_SOURCE[1] if _SOURCE[1] in table.column_names else "key"].to_pylist()
    wanted = zip(keys, table["caption_index"].to_pylist(), strict=True)
    try:
        rows = np.array([at[pair] for pair in wanted], np.int64)
    except KeyError as error:
        raise _not_cached(cache, shard) from error
    return _rows(cache, shard, "image", rows), _rows(cache, shard, "caption", rows)


def _donors(table: Any, row: int) -> list[_Donor]:
    if _DONOR[0] not in table.column_names:
        return []
    found = table.select([*_DONOR, "caption"]).to_pylist()
    return [
        _Donor(value[_DONOR[0]], value[_DONOR[1]], value["caption"], row + at)
        for at, value in enumerate(found)
        if value[_DONOR[0]] is not None
    ]


def _repair(cache: Path, files: _Files, donors: list[_Donor]) -> None:
    """Give repaired pairs their captions' embeddings, one donor shard after the other."""
    for shard, group in groupby(sorted(donors, key=lambda x: (x.shard, x.row)), lambda x: x.shard):
        ids = _scored_ids(cache, shard)
        pairs = zip(ids["key"], ids["caption"], ids["embedding_row"], strict=True)
        at = {(key, caption): row for key, caption, row in pairs}
        given = list(group)
        try:
            rows = np.array([at[donor.key, donor.caption] for donor in given], np.int64)
        except KeyError as error:
            raise _not_cached(cache, shard) from error
        for donor, caption in zip(given, _rows(cache, shard, "caption", rows), strict=True):
            files.replace_caption(donor.row, caption)


def _scored_ids(cache: Path, shard: str) -> dict[str, list[Any]]:
    import pyarrow.compute as pc

    folder = shard_folder(cache, shard)
    if read_marker(folder) is None:
        raise _not_cached(cache, shard)
    ids = read_ids(folder, ["key", "caption_index", "caption", "status", "embedding_row"])
    scored: dict[str, list[Any]] = ids.filter(pc.equal(ids["status"], Status.SCORED)).to_pydict()
    return scored


def _rows(cache: Path, shard: str, side: str, rows: Ints) -> Floats:
    path = shard_folder(cache, shard) / f"{side}.npy"
    found: Floats = np.load(path, mmap_mode="r", allow_pickle=False)[rows]
    return found


def _not_cached(cache: Path, shard: str) -> InputError:
    return InputError(
        f"{cache} does not hold the embeddings of {shard}",
        hint="Score the shards again with --overwrite, or leave out --clip-retrieval.",
    )
