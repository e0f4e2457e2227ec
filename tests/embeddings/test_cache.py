import os
from pathlib import Path

import numpy as np
import pytest

from ncaudit.embeddings.cache import (
    CachedShard,
    caption_id,
    find_embeddings,
    known_as,
    read_embeddings,
    read_ids,
    shard_folder,
)
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard, embedding_key
from ncaudit.shards.discover import discover_shards
from ncaudit.types import ShardRef
from tests.support.shards import write_shard
from tests.support.toy_encoder import ToyEncoder, striped

ENCODER = ToyEncoder(aligned=False)
KEY = embedding_key(ENCODER.card, "auto")


def embedded(folder: Path, name: str = "0") -> tuple[ShardRef, Path, CachedShard]:
    write_shard(folder / "shards" / f"{name}.tar", striped(5)[0])
    (shard,) = (
        s for s in discover_shards([str(folder / "shards")]) if s.path.endswith(f"{name}.tar")
    )
    cache = shard_folder(folder / "embeddings", shard.name)
    return shard, cache, embed_shard(shard, cache, ENCODER, EmbedOptions())


def test_an_unchanged_shard_is_found_again(tmp_path: Path) -> None:
    shard, cache, cached = embedded(tmp_path)
    assert find_embeddings(cache, shard, KEY) == cached
    assert find_embeddings(cache, shard, embedding_key(ENCODER.card, "txt")) is None
    assert find_embeddings(tmp_path / "nowhere", shard, KEY) is None


def test_a_touched_shard_is_the_same_and_a_changed_one_is_not(tmp_path: Path) -> None:
    shard, cache, cached = embedded(tmp_path)
    os.utime(shard.path, ns=(1, 1))
    (touched,) = discover_shards([shard.path])
    assert touched.modified != shard.modified
    assert known_as(cache, touched) == shard
    found = find_embeddings(cache, touched, KEY)
    assert found is not None
    assert found.sha256 == cached.sha256
    content = bytearray(Path(shard.path).read_bytes())
    content[700] ^= 1
    Path(shard.path).write_bytes(content)
    (changed,) = discover_shards([shard.path])
    assert known_as(cache, changed) == changed
    assert find_embeddings(cache, changed, KEY) is None


@pytest.mark.parametrize("gone", ["shard.json", "image.npy", "caption.npy", "ids.parquet"])
def test_a_cache_with_a_file_missing_does_not_count(tmp_path: Path, gone: str) -> None:
    shard, cache, _ = embedded(tmp_path)
    (cache / gone).unlink()
    assert find_embeddings(cache, shard, KEY) is None


def test_a_shard_below_another_ones_name_keeps_its_embeddings(tmp_path: Path) -> None:
    write_shard(tmp_path / "shards" / "a.tar", striped(5)[0])
    write_shard(tmp_path / "shards" / "a" / "0.tar", striped(6, seed=1)[0])
    shards = discover_shards([str(tmp_path / "shards")])
    assert sorted(shard.name for shard in shards) == ["a", "a/0"]
    root = tmp_path / "embeddings"
    for _ in range(2):
        for shard in shards:
            embed_shard(shard, shard_folder(root, shard.name), ENCODER, EmbedOptions())
    assert len(read_embeddings(root / "a")) == 5
    assert len(read_embeddings(root / "a" / "0")) == 6


def test_embeddings_are_float16_rows_of_the_scored_pairs(tmp_path: Path) -> None:
    _, cache, cached = embedded(tmp_path)
    read = read_embeddings(cache)
    assert (len(read), read.image.shape, read.caption.shape) == (5, (5, 40), (5, 32))
    assert read.image.dtype == read.caption.dtype == np.float16
    assert cached.tally.n_scored == 5
    ids = read_ids(cache).to_pydict()
    assert ids["sample_start"][0] == 0
    assert ids["sample_start"][1:] == ids["sample_stop"][:-1]


def test_captions_differ_only_by_more_than_case_and_blanks() -> None:
    assert caption_id("A  red\nhat ") == caption_id("a Red hat")
    assert caption_id("a red hat") != caption_id("a red cat")
