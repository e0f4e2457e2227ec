"""Frozen embeddings of one shard on disk: written once, memory-mapped ever after.

`image.npy` and `caption.npy` are float16 unit rows, one row per scored pair;
`ids.parquet` has one row per pair of the shard, rejects included; `shard.json`, written
last, says of which shard and from which settings they are.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.files import atomic_path, digest_file, mask_secrets, read_json, write_json
from ncaudit.types import Floats, Ints, ShardRef, ShardTally, Status

IDS_COLUMNS = (
    "sample_index",
    "key",
    "caption_index",
    "status",
    "detail",
    "caption",
    "uid",
    "url",
    "image_digest",
    "image_width",
    "image_height",
    "sample_start",
    "sample_stop",
    "embedding_row",
)
_TEXT = {"key", "status", "detail", "caption", "uid", "url", "image_digest"}
_OFFSETS = {"sample_start", "sample_stop"}
_MARKER = "shard.json"


@dataclass(frozen=True, slots=True)
class CachedShard:
    """What the cache holds of one shard.

    Attributes:
        key: Digest of the settings that decided the embeddings.
        path: Where the shard was.
        n_bytes: Its size when it was read.
        modified: Its time or ETag when it was read.
        sha256: Its digest as it was read; "" if it could not be read to its end, so
            that it will be tried again.
        n_samples: Samples that were found in it.
        tally: Its pairs, scored and rejected.
    """

    key: str
    path: str
    n_bytes: int
    modified: str
    sha256: str
    n_samples: int
    tally: ShardTally

    @property
    def is_readable(self) -> bool:
        """False if nothing in the shard could be read because of its defect."""
        return self.n_samples > 0 or not self.tally.defect


@dataclass(frozen=True, slots=True, eq=False)
class ShardEmbeddings:
    """The scored pairs of one shard; row i of each array describes pair i.

    Attributes:
        image: Unit rows, shape (n, d_image), float16, memory-mapped.
        caption: Unit rows, shape (n, d_caption), float16, memory-mapped.
        image_id: Hash of the image file, shape (n,), uint64; equal means same bytes.
        caption_id: Hash of the caption text, shape (n,), uint64.
    """

    image: Floats
    caption: Floats
    image_id: Ints
    caption_id: Ints

    def __len__(self) -> int:
        """Return the number of scored pairs."""
        return len(self.image)


def shard_folder(root: Path, shard: str) -> Path:
    """Return the folder that holds the embeddings of `shard`."""
    return root / shard


def write_embeddings(
    folder: Path, ids: dict[str, list[Any]], image: Floats, caption: Floats, about: CachedShard
) -> None:
    """Write one shard's embeddings and ids; they count once the last file is there.

    Args:
        folder: Where they go. It may hold the folders of shards below it (`a` and `a/0`),
            so files are replaced one by one.
        ids: IDS_COLUMNS, one entry per pair of the shard.
        image: Unit rows, shape (n_scored, d_image).
        caption: Unit rows, shape (n_scored, d_caption).
        about: What the marker is to say.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # From here on the old files are no longer a set.
    (folder / _MARKER).unlink(missing_ok=True)
    for name, rows in (("image.npy", image), ("caption.npy", caption)):
        with atomic_path(folder / name) as temporary, temporary.open("wb") as file:
            np.save(file, rows.astype(np.float16), allow_pickle=False)
    table = pa.table({name: ids[name] for name in IDS_COLUMNS}, schema=_ids_schema())
    with atomic_path(folder / "ids.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")
    write_json(folder / _MARKER, asdict(about) | {"path": mask_secrets(about.path)})


def find_embeddings(folder: Path, shard: ShardRef, key: str) -> CachedShard | None:
    """Return what the cache holds of a shard, or None if it is to be embedded (again).

    A shard of unchanged path, size and time is trusted; another one of the same size is
    read to compare digests. `known_as` gives a touched shard its old time first.

    Args:
        folder: `shard_folder` of the shard.
        shard: The shard as it is now.
        key: Digest of the settings that decide the embeddings.

    Raises:
        OSError: If the shard cannot be read.
    """
    found = read_marker(folder)
    if found is None or found.key != key or not found.sha256 or found.n_bytes != shard.n_bytes:
        return None
    # Where a server tells no time, only the content does.
    is_there = found.path == mask_secrets(shard.path)
    if is_there and found.modified == shard.modified and shard.modified:
        return found
    if digest_file(shard.path) != found.sha256:
        return None
    return replace(found, path=shard.path, modified=shard.modified)


def known_as(folder: Path, shard: ShardRef) -> ShardRef:
    """Return `shard` with the time the cache knows it by, if its content is the known one."""
    found = read_marker(folder)
    if found is None or found.n_bytes != shard.n_bytes or found.modified == shard.modified:
        return shard
    try:
        is_same = digest_file(shard.path) == found.sha256
    except OSError:
        return shard
    return replace(shard, modified=found.modified) if is_same else shard


def read_ids(folder: Path, columns: list[str] | None = None) -> Any:
    """Read the id table of one shard as a pyarrow table."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(folder / "ids.parquet").read(columns=columns)


def read_embeddings(folder: Path) -> ShardEmbeddings:
    """Open one shard's embeddings without reading them into memory."""
    ids = read_ids(folder, ["embedding_row", "image_digest", "caption"]).to_pydict()
    scored = [row for row, at in enumerate(ids["embedding_row"]) if at >= 0]
    return ShardEmbeddings(
        np.load(folder / "image.npy", mmap_mode="r", allow_pickle=False),
        np.load(folder / "caption.npy", mmap_mode="r", allow_pickle=False),
        np.array([int(ids["image_digest"][row], 16) for row in scored], np.uint64),
        np.array([caption_id(ids["caption"][row]) for row in scored], np.uint64),
    )


def caption_id(caption: str) -> int:
    """Return a 64-bit hash of a caption, blind to case and white space."""
    from hashlib import blake2b

    text = " ".join(caption.casefold().split())
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def tally_ids(shard: str, ids: dict[str, list[Any]], defect: str) -> ShardTally:
    """Count scored pairs and reject reasons of one shard's id table."""
    rejects: dict[str, int] = {}
    for status in ids["status"]:
        if status != Status.SCORED:
            rejects[status] = rejects.get(status, 0) + 1
    n_pairs = len(ids["status"])
    return ShardTally(shard, n_pairs, n_pairs - sum(rejects.values()), rejects, defect)


def cached_from(content: dict[str, Any]) -> CachedShard:
    """Return the shard that `asdict` made plain.

    Raises:
        TypeError: If the content is that of something else; also LookupError, ValueError.
    """
    return CachedShard(**content | {"tally": ShardTally(**content["tally"])})


def read_marker(folder: Path) -> CachedShard | None:
    """Return what a shard's folder says it holds, or None if it holds no whole set of files."""
    try:
        found = cached_from(read_json(folder / _MARKER))
    except (OSError, ValueError, TypeError, LookupError):
        return None
    names = ("image.npy", "caption.npy", "ids.parquet")
    return found if all((folder / name).is_file() for name in names) else None


def _ids_schema() -> Any:
    import pyarrow as pa

    def kind(name: str) -> Any:
        return pa.string() if name in _TEXT else pa.int64() if name in _OFFSETS else pa.int32()

    return pa.schema([(name, kind(name)) for name in IDS_COLUMNS])
