"""The id table of a shard under construction: a row for every pair, rejects included."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ncaudit.embeddings.cache import IDS_COLUMNS, CachedShard, tally_ids
from ncaudit.shards.read import image_of
from ncaudit.shards.samples import Sample, ShardDefect
from ncaudit.types import ShardRef

_BLANK = ("key", "caption", "uid", "url", "image_digest")


@dataclass(slots=True)
class IdRows:
    """Rows of `ids.parquet`, and what is known of the shard so far.

    Attributes:
        ids: IDS_COLUMNS, one entry per pair.
        n_samples: Samples read.
        defect: Why the shard could only be read in part, or None.
    """

    ids: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in IDS_COLUMNS})
    n_samples: int = 0
    defect: ShardDefect | None = None

    def add(self, **values: Any) -> None:
        """Append a row; text that is not given is "", all else None."""
        for name in IDS_COLUMNS:
            self.ids[name].append(values.get(name, "" if name in _BLANK else None))

    def add_defect(self, defect: ShardDefect) -> None:
        """Add the row of a shard in which nothing could be read, so that it is not silent."""
        status = str(defect.status)
        self.add(caption_index=0, status=status, detail=defect.detail, embedding_row=-1)

    def reject(self, at: int, status: str, detail: str) -> None:
        """Make a scored row a reject."""
        changed = {"status": status, "detail": detail, "embedding_row": -1}
        for name, value in changed.items():
            self.ids[name][at] = value

    def cached(self, shard: ShardRef, key: str, sha256: str) -> CachedShard:
        """Return what the marker of the cache folder is to say.

        Args:
            shard: The shard that the rows are of.
            key: Digest of the settings that decided the embeddings.
            sha256: Digest of the shard, "" if it was not read to its end.
        """
        defect = f"{self.defect.status}: {self.defect.detail}" if self.defect else ""
        return CachedShard(
            key=key,
            path=shard.path,
            n_bytes=shard.n_bytes,
            modified=shard.modified,
            sha256=sha256,
            n_samples=self.n_samples,
            tally=tally_ids(shard.name, self.ids, defect),
        )


def image_digest(sample: Sample) -> str:
    """Return what tells an image from others: 16 hex digits of its bytes, "" without one."""
    found = image_of(sample)
    return hashlib.sha256(found[1]).hexdigest()[:16] if found else ""
