"""What people already know of their pairs, put beside what the audit says."""

from collections.abc import Mapping
from typing import Any

from ncaudit.shards.sidecar import read_sidecar


def sidecar_columns(shard: str, table: Mapping[str, Any]) -> tuple[dict[str, list[Any]], str]:
    """Return the columns that a shard's sidecar adds to its part, and what is wrong with it.

    Its columns of numbers come as `sidecar_NAME`; `uid` and `url` fill the cells that the
    samples' own json leaves empty. The order of rows never matters.

    Args:
        shard: Path or URL of the tar.
        table: The part's columns `key`, `caption_index`, `uid` and `url`, one row per pair.
    """
    found = read_sidecar(shard, table["key"], table["caption_index"])
    texts = {
        name: [own or given or "" for own, given in zip(table[name], values, strict=True)]
        for name, values in found.texts.items()
    }
    return texts | found.numbers, found.problem
