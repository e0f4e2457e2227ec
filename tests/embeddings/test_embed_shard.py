from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from ncaudit.embeddings import embed_shard as module, shard_source
from ncaudit.embeddings.cache import CachedShard, read_embeddings, read_ids
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard
from ncaudit.embeddings.step_clock import StepClock
from ncaudit.shards.discover import discover_shards
from ncaudit.types import EncoderCard, Floats, Pixels, Preprocess
from tests.support.crashing_decoder import crash_on_small
from tests.support.shards import jpeg, json_bytes, write_shard
from tests.support.toy_encoder import COLOURS, ToyEncoder, describe, striped, stripes

TOY = ToyEncoder(aligned=True)


def embed(
    path: Path, options: EmbedOptions | None = None, encoder: Any = TOY
) -> tuple[CachedShard, dict[str, list[Any]], Any]:
    (shard,) = discover_shards([str(path)])
    folder = path.parent / "embeddings" / shard.name
    cached = embed_shard(shard, folder, encoder, options or EmbedOptions())
    return cached, read_ids(folder).to_pydict(), read_embeddings(folder)


@dataclass(frozen=True)
class Flawed:
    """Gives no embedding for pictures that are red on the left, and for captions with NaN."""

    card: EncoderCard = TOY.card
    preprocess: Preprocess = TOY.preprocess

    def encode_images(self, pixels: Pixels) -> Floats:
        found = TOY.encode_images(pixels)
        red = np.abs(pixels[:, :, :4].mean((1, 2)) - COLOURS["red"]).max(1) < 40
        found[red] = 0
        return found

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        found = TOY.encode_captions(captions)
        found[["NaN" in caption for caption in captions]] = np.nan
        return found


def test_each_row_has_the_embeddings_of_its_own_pair(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "0.tar", striped(30, noise=0)[0])
    for batch_size in (1, 4, 64):
        cached, ids, read = embed(path, EmbedOptions(batch_size=batch_size))
        similarity = (read.image.astype(float) * read.caption).sum(1)
        assert cached.tally.n_scored == 30
        assert similarity.min() > 0.8
        assert ids["embedding_row"] == list(range(30))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_a_picture_without_embedding_shifts_no_other(tmp_path: Path, batch_size: int) -> None:
    names = [("red", "blue", "pink"), ("blue", "red", "white"), ("red", "black", "green")]
    names += [("green", "pink", "brown"), ("red", "white", "blue"), ("white", "red", "black")]
    samples = [
        (f"{i}", {"jpg": stripes(n), "txt": describe(n).encode()}) for i, n in enumerate(names)
    ]
    path = write_shard(tmp_path / "0.tar", samples)
    cached, ids, read = embed(path, EmbedOptions(batch_size=batch_size), Flawed())
    assert cached.tally.rejects == {"embedding_invalid": 3}
    assert ids["embedding_row"] == [-1, 0, -1, 1, -1, 2]
    assert (read.image.astype(float) * read.caption).sum(1).min() > 0.8


def test_a_caption_without_embedding_is_a_reject(tmp_path: Path) -> None:
    samples = [
        (f"{i}", {"jpg": stripes(("blue", "red", "pink")), "txt": text.encode()})
        for i, text in enumerate(["blue left", "NaN", "red middle"])
    ]
    cached, ids, read = embed(write_shard(tmp_path / "0.tar", samples), encoder=Flawed())
    assert cached.tally.rejects == {"embedding_invalid": 1}
    assert ids["detail"] == ["", "caption embedding is zero or not finite", ""]
    assert ids["embedding_row"] == [0, -1, 1]
    assert len(read) == 2


def test_every_caption_is_a_pair_of_its_own(tmp_path: Path) -> None:
    samples = [
        (
            "a",
            {
                "jpg": stripes(("blue", "red", "pink")),
                "json": json_bytes({"captions": ["x", "", "y"]}),
            },
        )
    ]
    path = write_shard(tmp_path / "0.tar", samples)
    cached, ids, read = embed(path, EmbedOptions(captions="json:captions"))
    assert ids["status"] == ["scored", "caption_empty", "scored"]
    assert ids["caption_index"] == [0, 1, 2]
    assert (cached.n_samples, len(read)) == (1, 2)
    assert (read.image[0] == read.image[1]).all()
    assert read.image_id[0] == read.image_id[1]


def test_what_is_no_tar_has_one_row_and_no_pairs(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(b"hello " * 300)
    cached, ids, read = embed(path)
    assert cached.tally.rejects == {"shard_unreadable": 1}
    assert cached.tally.defect.startswith("shard_unreadable: not a tar")
    assert (ids["key"], ids["sample_index"], ids["embedding_row"]) == ([""], [None], [-1])
    assert (cached.is_readable, len(read)) == (False, 0)
    assert len(cached.sha256) == 64


def test_a_cut_tar_gives_its_readable_prefix(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "0.tar", striped(10)[0])
    path.write_bytes(path.read_bytes()[:9000])
    cached, ids, read = embed(path)
    assert cached.is_readable
    assert cached.tally.defect.startswith("shard_truncated")
    assert cached.tally.n_scored == len(read) > 0
    assert set(ids["status"]) <= {"scored", "shard_truncated"}


@dataclass(frozen=True)
class Counting:
    """Notes how many images it is given."""

    seen: list[int]
    card: EncoderCard = TOY.card
    preprocess: Preprocess = TOY.preprocess

    def encode_images(self, pixels: Pixels) -> Floats:
        self.seen.append(len(pixels))
        return TOY.encode_images(pixels)

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        return TOY.encode_captions(captions)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_an_image_that_comes_again_is_encoded_once(tmp_path: Path, batch_size: int) -> None:
    names = [("red", "blue", "pink"), ("blue", "red", "white")] * 3
    samples = [
        (f"{i}", {"jpg": stripes(n), "txt": describe(n).encode()}) for i, n in enumerate(names)
    ]
    encoder = Counting([])
    path = write_shard(tmp_path / "0.tar", samples)
    _, _, read = embed(path, EmbedOptions(batch_size=batch_size), encoder)
    assert sum(encoder.seen) == 2
    assert (read.image[:2] == read.image[4:]).all()
    assert (read.image.astype(float) * read.caption).sum(1).min() > 0.8


@pytest.mark.slow
def test_isolated_decoding_gives_the_same_embeddings(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "0.tar", striped(12)[0])
    _, ids, read = embed(path)
    plain = read.image.tobytes()
    _, isolated_ids, isolated = embed(path, EmbedOptions(isolated=True))
    assert isolated.image.tobytes() == plain
    assert isolated_ids == ids


def test_each_step_is_timed(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "0.tar", striped(3)[0])
    (shard,) = discover_shards([str(path)])
    clock = StepClock()
    embed_shard(shard, tmp_path / "e", TOY, EmbedOptions(), None, clock)
    assert set(clock.seconds) == {"read", "decode", "encode", "write"}
    assert all(spent > 0 for spent in clock.seconds.values())


class _Broken:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, 4

    def __enter__(self) -> "_Broken":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if not self._left:
            raise OSError(5, "Input/output error")
        return self._file.read(min(size, 4096))


def test_a_shard_that_breaks_off_while_read_is_not_scored_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_shard(tmp_path / "0.tar", striped(10)[0])
    opened = shard_source.open_shard
    monkeypatch.setattr(module, "open_shard", lambda path: _Broken(opened(path)))
    cached, ids, read = embed(path)
    assert cached.tally.rejects == {"shard_unreadable": 1}
    assert cached.sha256 == ""
    assert len(read) == 0
    assert ids["detail"] == [f"{path}: Input/output error"]


def test_bytes_are_counted_to_the_end_of_the_shard(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "0.tar", striped(3)[0])
    (shard,) = discover_shards([str(path)])
    seen: list[int] = []
    embed_shard(shard, tmp_path / "e", TOY, EmbedOptions(), seen.append)
    assert sum(seen) == shard.n_bytes


def with_a_crash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a shard in which picture 2 of 5 kills the decoder."""
    monkeypatch.setattr(module, "decode_image", crash_on_small)
    samples = [
        (f"{i}", {"jpg": jpeg("red", (5 if i == 2 else 24, 24)), "txt": b"red left"})
        for i in range(5)
    ]
    return write_shard(folder / "0.tar", samples)


def test_an_image_that_kills_the_decoder_is_found_where_images_are_decoded_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_a_crash(tmp_path, monkeypatch)
    cached, ids, read = embed(path, EmbedOptions(isolated=True))
    assert cached.tally.rejects == {"decoder_crash": 1}
    assert (cached.tally.n_scored, len(read), len(cached.sha256)) == (4, 4, 64)
    assert ids["detail"][2] == "the decoder was killed by SIGSEGV"
