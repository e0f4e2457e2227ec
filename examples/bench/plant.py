"""Write shards with planted mismatches; the truth goes to a file of its own, elsewhere.

    python examples/bench/plant.py SHARDS OUT --truth TRUTH.csv --rate 0.4 --captions 1

With `--captions 1` the `.txt` and the JSON field `caption` are exchanged between samples;
with `--captions all` every entry of the JSON list `captions` is exchanged on its own.
"""

import argparse
import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np

from ncaudit.shards.discover import discover_shards


def derange(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return for each of n captions where its replacement comes from; no chosen one stays."""
    source = np.arange(n)
    chosen = rng.permutation(n)[: round(rate * n)]
    if len(chosen) > 1:
        source[chosen] = np.roll(chosen, 1)
    return source


def read_members(path: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar if info.isfile()]


def key_of(name: str) -> str:
    return name.split(".", 1)[0]


def replaced(name: str, original: bytes, record: dict[str, object]) -> bytes:
    if name.endswith(".json"):
        return json.dumps(record, indent=4).encode()
    return str(record["caption"]).encode() if name.endswith(".txt") else original


def plant(
    patterns: list[str], out: Path, truth: Path, rate: float, *, every: bool, seed: int
) -> None:
    shards = [(ref, read_members(ref.path)) for ref in discover_shards(patterns)]
    records = {
        (ref.name, key_of(info.name)): json.loads(data)
        for ref, members in shards
        for info, data in members
        if info.name.endswith(".json")
    }
    slots = [
        (sample, index)
        for sample, record in records.items()
        for index in range(len(record["captions"]) if every else 1)
    ]
    texts = [records[sample]["captions"][index] for sample, index in slots]
    source = derange(len(slots), rate, np.random.default_rng(seed))
    for (sample, index), at in zip(slots, source, strict=True):
        records[sample]["captions"][index] = texts[at]
        if index == 0:
            records[sample]["caption"] = texts[at]
    out.mkdir(parents=True)
    for ref, members in shards:
        with tarfile.open(out / f"{ref.name}.tar", "w") as tar:
            for info, original in members:
                data = replaced(info.name, original, records[ref.name, key_of(info.name)])
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    with truth.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["shard", "key", "caption_index", "is_mismatched"])
        for number, ((shard, key), index) in enumerate(slots):
            mismatched = slots[source[number]][0] != (shard, key)
            writer.writerow([shard, key, index, int(mismatched)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=0.4)
    parser.add_argument("--captions", choices=["1", "all"], default="1")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    plant(
        given.shards,
        given.out,
        given.truth,
        given.rate,
        every=given.captions == "all",
        seed=given.seed,
    )
