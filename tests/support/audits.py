"""Whole audits through the command line, with an encoder that needs no weights."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner  # noqa: TID251 - the command line is what is tested

from ncaudit.cli._app import app
from ncaudit.encoders import ENCODERS
from tests.support.shards import write_shard
from tests.support.toy_encoder import striped

TOYS = {
    "toy": "tests.support.toy_encoder:load_toy",
    "toy-aligned": "tests.support.toy_encoder:load_toy_aligned",
}


@contextmanager
def toy_encoders() -> Iterator[None]:
    """Let `--encoder toy` and `--encoder toy-aligned` be known."""
    known = ENCODERS.builtin
    assert isinstance(known, dict)
    added = TOYS.keys() - known.keys()
    known.update(TOYS)
    try:
        yield
    finally:
        for name in added:
            del known[name]


def ncaudit(*words: object) -> Any:
    """Run a command in this process; the toy encoders are known to it."""
    with toy_encoders():
        return CliRunner().invoke(app, [str(word) for word in words])


def score(folder: Path, *words: object, encoder: str = "toy", out: str = "audit") -> Any:
    """Score `folder/shards` into `folder/audit`, without progress."""
    where = ["-o", folder / out, "--encoder", encoder, "--quiet"]
    return ncaudit("score", folder / "shards", *where, *words)


def write_striped(folder: Path, n_shards: int = 3, n_pairs: int = 120) -> set[str]:
    """Write shards of striped pictures to `folder/shards`; returns the keys that are wrong."""
    wrong: set[str] = set()
    for number in range(n_shards):
        samples, mismatched = striped(n_pairs, seed=number)
        write_shard(folder / "shards" / f"{number}.tar", samples)
        wrong |= mismatched
    return wrong


def rows(folder: Path, out: str = "audit") -> list[dict[str, str]]:
    """Return the rows of audit.csv."""
    with (folder / out / "audit.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary(folder: Path, out: str = "audit") -> dict[str, Any]:
    """Return summary.json."""
    found: dict[str, Any] = json.loads((folder / out / "summary.json").read_text())
    return found


def digests(folder: Path) -> Mapping[str, str]:
    """Return the digests of what must not depend on when and how it was written."""
    names = ["audit.csv", "summary.json", "scores", "model", "embeddings"]
    files = [file for name in names for file in ((folder / name), *(folder / name).rglob("*"))]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file.name != "shard.json"
    }
