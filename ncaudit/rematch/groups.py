"""Which shards may exchange captions."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from ncaudit.types import Ints


def shard_groups(shards: Sequence[str], within: str) -> Ints:
    """Number the groups of shards inside which captions may be exchanged.

    Args:
        shards: Names, paths with `/`.
        within: `all`: one group; `shard`: each on its own; `folder`: those in one folder; a
            number: those whose first so many folders are the same; else globs separated by
            commas: a shard belongs to the first that it matches, and those that match none
            form a group of their own.

    Returns:
        Group of each shard, numbered from 0 by first occurrence, shape (n,), int64.
    """
    numbers: dict[object, int] = {}
    return np.array(
        [numbers.setdefault(_group(shard, within), len(numbers)) for shard in shards], np.int64
    )


def _group(shard: str, within: str) -> object:
    if within == "all":
        return ""
    if within == "shard":
        return shard
    folders = shard.split("/")[:-1]
    if within == "folder":
        return tuple(folders)
    if within.isdecimal():
        return tuple(folders[: int(within)])
    globs = [glob.strip() for glob in within.split(",")]
    return next((glob for glob in globs if fnmatchcase(shard, glob)), None)
