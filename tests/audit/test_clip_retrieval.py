"""`clean --clip-retrieval`: what was exported belongs, row by row, to what was kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ncaudit.audit.clip_retrieval import export_embeddings
from ncaudit.embeddings.cache import read_ids
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard
from ncaudit.errors import InputError
from ncaudit.shards.discover import discover_shards
from ncaudit.types import Floats
from tests.support.cleaning import cleaned
from tests.support.runs import proposal, write_run
from tests.support.shards import Samples
from tests.support.toy_encoder import ToyEncoder, describe, stripes

LOOKS = {
    "a": ("red", "green", "blue"),
    "b": ("black", "white", "red"),
    "c": ("pink", "brown", "blue"),
    "donor": ("white", "yellow", "green"),
    "e": ("blue", "purple", "black"),
}


def sample(key: str, tells: str = "") -> tuple[str, dict[str, bytes]]:
    caption = describe(LOOKS[tells or key]).encode()
    return key, {"jpg": stripes(LOOKS[key]), "txt": caption}


SHARDS: dict[str, Samples] = {
    "0": [sample("a"), sample("b", tells="c"), sample("c")],
    "1": [sample("donor"), sample("e")],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which `b` would leave; `donor` of shard 1 has a caption for it."""
    repairs = {("b", 0): proposal(describe(LOOKS["donor"]))}
    write_run(tmp_path, SHARDS, {("b", 0): 0.9}, proposals=repairs)
    for shard in discover_shards([str(tmp_path / "shards")]):
        cache = tmp_path / "audit/embeddings" / shard.name
        embed_shard(shard, cache, ToyEncoder(aligned=True), EmbedOptions())
    return tmp_path


def exported(folder: Path) -> tuple[list[dict[str, Any]], Floats, Floats]:
    """Read the export as clip-retrieval's reader does: files in order of name, zipped."""
    out = folder / "cleaned/clip-retrieval"
    metadata = [
        row for x in sorted(out.glob("metadata/*")) for row in pq.read_table(x).to_pylist()
    ]
    image, caption = (
        np.concatenate([np.load(x) for x in sorted(out.glob(f"{kind}/*"))])
        for kind in ("img_emb", "text_emb")
    )
    return metadata, image, caption


def in_cache(folder: Path, side: str, shard: str, key: str) -> Floats:
    cache = folder / "audit/embeddings" / shard
    ids = {row["key"]: row["embedding_row"] for row in read_ids(cache).to_pylist()}
    found: Floats = np.load(cache / f"{side}.npy")[ids[key]]
    return found


def test_every_kept_pair_has_its_own_row(folder: Path) -> None:
    cleaned(folder, clip_retrieval=True)
    metadata, image, caption = exported(folder)
    assert [row["image_path"] for row in metadata] == ["a", "c", "donor", "e"]
    assert image.dtype == caption.dtype == np.float16
    for row, shard, at in zip(metadata, "0011", range(4), strict=True):
        assert np.array_equal(image[at], in_cache(folder, "image", shard, row["key"]))
        assert np.array_equal(caption[at], in_cache(folder, "caption", shard, row["key"]))
        assert row["caption"] == describe(LOOKS[row["key"]])
        assert row["weight"] == 0.9


def test_a_repaired_pair_has_the_embedding_of_its_new_caption(folder: Path) -> None:
    cleaned(folder, clip_retrieval=True, apply_rematch=True)
    metadata, image, caption = exported(folder)
    assert [row["image_path"] for row in metadata] == ["a", "b", "c", "donor", "e"]
    assert metadata[1]["caption"] == describe(LOOKS["donor"])
    assert np.array_equal(image[1], in_cache(folder, "image", "0", "b"))
    assert np.array_equal(caption[1], in_cache(folder, "caption", "1", "donor"))


def test_new_tars_have_the_rows_of_the_old_ones(folder: Path) -> None:
    cleaned(folder, clip_retrieval=True, reshard=3)
    metadata, image, _ = exported(folder)
    assert [row["image_path"] for row in metadata] == ["a", "c", "donor", "e"]
    assert np.array_equal(image[3], in_cache(folder, "image", "1", "e"))


def test_files_of_a_few_rows_hold_the_same(folder: Path) -> None:
    cleaned(folder, clip_retrieval=True, apply_rematch=True)
    once = exported(folder)
    out = folder / "cleaned"
    tables = [(name, out / f"{name}.parquet") for name in "01"]
    export_embeddings(folder / "audit/embeddings", out / "clip-retrieval", tables, 2)
    names = sorted(path.name for path in (out / "clip-retrieval/img_emb").iterdir())
    assert names == ["img_emb_0.npy", "img_emb_1.npy", "img_emb_2.npy"]
    again = exported(folder)
    assert again[0] == once[0]
    assert all(np.array_equal(a, b) for a, b in zip(again[1:], once[1:], strict=True))


def test_names_of_files_are_equally_wide(folder: Path) -> None:
    cleaned(folder, apply_rematch=True)
    out = folder / "cleaned"
    tables = [("0", out / "0.parquet"), ("1", out / "1.parquet")] * 2
    export_embeddings(folder / "audit/embeddings", folder / "wide", tables, 1)
    names = sorted(path.stem for path in (folder / "wide/metadata").iterdir())
    assert names == [f"metadata_{at:02d}" for at in range(10)]


def test_without_a_kept_pair_there_is_no_folder(folder: Path) -> None:
    cleaned(folder, clip_retrieval=True, threshold=0.0)
    assert not (folder / "cleaned/clip-retrieval").exists()


def test_embeddings_that_are_gone_are_an_error(folder: Path) -> None:
    (folder / "audit/embeddings/0/shard.json").unlink()
    with pytest.raises(InputError, match="does not hold the embeddings of 0"):
        cleaned(folder, clip_retrieval=True)
    assert not list((folder / "cleaned").glob("**/img_emb"))


def test_it_can_be_asked_for_after_the_cleaning(folder: Path) -> None:
    cleaned(folder)
    before = (folder / "cleaned/0.tar").stat().st_mtime_ns
    cleaned(folder, clip_retrieval=True, card=True)
    assert (folder / "cleaned/0.tar").stat().st_mtime_ns == before
    assert (folder / "cleaned/clip-retrieval/img_emb/img_emb_0.npy").exists()
    assert (folder / "cleaned/README.md").exists()
