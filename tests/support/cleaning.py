"""Cleaning finished runs in tests, and looking at what it wrote."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ncaudit.audit.clean import CleanSummary, clean
from ncaudit.audit.clean_config import CleanConfig
from tests.support.shards import Samples, jpeg, pair

SHARDS: dict[str, Samples] = {
    "0": [("a", pair("red", "red")), ("b", pair("blue", "red")), ("c", pair("green", "green"))],
    "1": [("d", pair("red", "blue")), ("e", {"jpg": jpeg("red"), "npy": b"\x00" * 700})],
}
BAD = {("b", 0): 0.9, ("d", 0): 0.5}
CAPTIONS = ["one", "two", "three"]


def cleaned(folder: Path, **settings: Any) -> CleanSummary:
    """Clean `folder/audit` into `folder/cleaned`, or into `out` of the settings."""
    out = folder / settings.pop("out", "cleaned")
    config = CleanConfig(run=folder / "audit", out=out, **settings)
    return clean(config, lambda _: None)


def members(tar: Path) -> list[tuple[str, bytes]]:
    """Return name and content of each member of a tar."""
    with tarfile.open(tar, "r:") as file:
        return [(info.name, file.extractfile(info).read()) for info in file]  # type: ignore[union-attr]


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def outcomes(folder: Path, shards: tuple[str, ...] = ("0", "1")) -> dict[str, str]:
    """Return key to status over the cleaned and the rejected tables."""
    tables = [f"{inner}{shard}.parquet" for inner in ("", "rejected/") for shard in shards]
    rows = [row for table in tables for row in pq.read_table(folder / table).to_pylist()]
    return {f"{row['key']}{row['caption_index'] or ''}": row["status"] for row in rows}


def notes(tar: Path) -> dict[str, Any]:
    """Return what each json of a tar says under `ncaudit`, by key."""
    return {
        name.removesuffix(".json"): json.loads(content)["ncaudit"]
        for name, content in members(tar)
        if name.endswith(".json") and "ncaudit" in json.loads(content)
    }
