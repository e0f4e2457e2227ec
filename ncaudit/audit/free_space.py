"""How much room a run needs, said before it starts."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ncaudit.types import EncoderCard, ShardRef

log = logging.getLogger(__name__)
_FLOAT16_BYTES = 2
# An image and its caption in a tar with headers and padding; smaller ones are not typical.
_LEAST_SAMPLE_BYTES = 8_000
# ids.parquet, a row of the part and one of audit.csv, measured on five-caption Flickr8k.
_ROW_BYTES = 400
_GB = 1e9


def estimate_bytes(shards: Sequence[ShardRef], card: EncoderCard) -> int:
    """Return the most that embeddings and tables of some shards should take, in bytes.

    Args:
        shards: Shards that are still to be embedded.
        card: The encoder.
    """
    n_samples = sum(shard.n_bytes for shard in shards) // _LEAST_SAMPLE_BYTES
    per_pair = _FLOAT16_BYTES * (card.image_dim + card.caption_dim) + _ROW_BYTES
    return n_samples * per_pair


def free_bytes(folder: Path) -> int:
    """Return the free space where `folder` is, or is going to be, in bytes."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def warn_if_too_little(folder: Path, shards: Sequence[ShardRef], card: EncoderCard) -> None:
    """Warn if a run may fill the disk; it goes on, since the number of pairs is a guess.

    Args:
        folder: Folder of the run.
        shards: Shards that are still to be embedded.
        card: The encoder.
    """
    needed, free = estimate_bytes(shards, card), free_bytes(folder)
    if needed > free:
        log.warning(
            "the run may need %.1f GB, and %s has %.1f GB free; it can go on after a full disk",
            needed / _GB,
            os.fspath(folder),
            free / _GB,
        )
