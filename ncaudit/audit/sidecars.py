"""The files beside cleaned tars that other tools read: img2dataset's, open_clip's, DataComp's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ncaudit.files import atomic_path, write_json
from ncaudit.types import Bools

_PAIR_COLUMNS = {
    "caption": "caption",
    "caption_index": "caption_index",
    "url": "url",
    "uid": "uid",
    "width": "image_width",
    "height": "image_height",
    "p_mismatch": "p_mismatch",
    "p_low": "p_low",
    "p_high": "p_high",
    "similarity": "similarity",
    "verdict": "verdict",
    "reasons": "reasons",
}
_UID = r"^[0-9a-fA-F]{32}$"


def write_pairs(
    path: Path,
    rows: Any,
    *,
    dropped: Bools | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write `{shard}.parquet` as img2dataset does: key, status and error_message first.

    A kept pair has status `success`. Of the others, a dropped pair has `dropped` and its
    reasons as the message, a rejected one its reject reason and the detail.

    Args:
        path: Where.
        rows: The pairs, as a table of the part's columns.
        dropped: Which rows were dropped rather than rejected; None if all were kept.
        more: Columns to add at the end.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    n_rows = rows.num_rows
    status = pa.array(["success"] * n_rows, pa.string())
    message = pa.nulls(n_rows, pa.string())
    if dropped is not None:
        status = pc.if_else(pa.array(dropped), pa.scalar("dropped"), rows["status"])
        message = pc.if_else(pa.array(dropped), rows["reasons"], rows["detail"])
    columns = {"key": rows["key"], "status": status, "error_message": message}
    columns |= {name: rows[source] for name, source in _PAIR_COLUMNS.items()}
    columns |= more or {}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def write_stats(
    path: Path, labels: Sequence[str], n_successes: int, note: Mapping[str, Any]
) -> None:
    """Write `{shard}_stats.json` with img2dataset's keys.

    The times are 0, so that cleaning twice gives the same bytes.

    Args:
        path: Where.
        labels: What became of each sample that could have been in the tar.
        n_successes: Samples in the tar.
        note: Put under `ncaudit`.
    """
    stats = {
        "count": len(labels),
        "successes": n_successes,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "duration": 0.0,
        "start_time": 0.0,
        "end_time": 0.0,
        "status_dict": dict(sorted(Counter(labels).items())),
        "ncaudit": dict(note),
    }
    write_json(path, stats)


def write_sizes(folder: Path, n_samples: Mapping[str, int]) -> None:
    """Write `sizes.json`, which tells open_clip how many samples each tar holds.

    Tars are named relative to `folder`. A folder below it gets a file of its own as
    well, since open_clip looks beside the first tar. Shards without a tar are left out.

    Args:
        folder: Folder of the tars.
        n_samples: Shard name to number of samples.
    """
    sizes = {f"{shard}.tar": n for shard, n in n_samples.items() if n}
    write_json(folder / "sizes.json", sizes)
    nested = sorted((str(PurePosixPath(name).parent), name) for name in sizes if "/" in name)
    for parent, names in groupby(nested, key=lambda entry: entry[0]):
        beside = {PurePosixPath(name).name: sizes[name] for _, name in names}
        write_json(folder / parent / "sizes.json", beside)


def write_subset_uids(path: Path, tables: Iterable[Path]) -> bool:
    """Write the uids of all kept samples in DataComp's format: sorted, dtype u8,u8.

    Args:
        path: `subset_uids.npy`; deleted if it is not to be written.
        tables: The `{shard}.parquet` of the kept pairs.

    Returns:
        Whether it was written: every kept sample has a uid of 32 hex digits.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = []
    for table in tables:
        uids = pq.ParquetFile(table).read(columns=["uid"])["uid"]
        is_uid = pc.fill_null(pc.match_substring_regex(uids, _UID), fill_value=False)
        if not pc.all(is_uid, min_count=0).as_py():
            path.unlink(missing_ok=True)
            return False
        halves = np.frombuffer(bytes.fromhex("".join(uids.to_pylist())), ">u8").astype("u8")
        found.append(halves.view(np.dtype("u8,u8")))
    if not any(map(len, found)):
        path.unlink(missing_ok=True)
        return False
    # Unique: a sample of several captions has a row for each, and DataComp's resharder
    # writes a sample once per mention.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.unique(np.concatenate(found)), allow_pickle=False)
    return True
