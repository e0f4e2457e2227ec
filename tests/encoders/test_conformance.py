"""What every encoder promises."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ncaudit.embeddings.cache import read_embeddings
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard
from ncaudit.encoders import encoder_card_digest
from ncaudit.encoders.base import Encoder
from ncaudit.encoders.batches import FixedBatches
from ncaudit.shards.discover import discover_shards
from ncaudit.types import Floats, Pixels
from tests.encoders.synthetic import waves
from tests.support.shards import image_bytes, write_shard

WORDS = [
    "a",
    "brown",
    "dog",
    "runs",
    "over",
    "the",
    "wide",
    "green",
    "field",
    "and",
    "jumps",
    "high",
]
CAPTIONS = [" ".join(WORDS[: 1 + i % 12]) + f" {i % 23}" for i in range(40)]


@pytest.fixture(scope="session")
def pixels(encoder: Encoder) -> Pixels:
    return waves(19, encoder.preprocess.size_px)


@pytest.fixture(scope="session")
def image_rows(encoder: Encoder, pixels: Pixels) -> Floats:
    return encoder.encode_images(pixels)


@pytest.fixture(scope="session")
def caption_rows(encoder: Encoder) -> Floats:
    return encoder.encode_captions(CAPTIONS)


def test_encoder_follows_the_protocol(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)


def test_image_embeddings_are_unit_rows(encoder: Encoder, image_rows: Floats) -> None:
    assert (image_rows.shape, image_rows.dtype) == ((19, encoder.card.image_dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(image_rows, axis=1), 1, atol=1e-6)


def test_caption_embeddings_are_unit_rows(encoder: Encoder, caption_rows: Floats) -> None:
    assert (caption_rows.shape, caption_rows.dtype) == ((40, encoder.card.caption_dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(caption_rows, axis=1), 1, atol=1e-6)


# Equal bit for bit, not just close: see ncaudit/encoders/batches.py.
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 10), (18, 19)])
def test_an_image_does_not_depend_on_its_batch(
    encoder: Encoder, pixels: Pixels, image_rows: Floats, start: int, stop: int
) -> None:
    np.testing.assert_array_equal(
        encoder.encode_images(pixels[start:stop]), image_rows[start:stop]
    )


def test_an_image_does_not_depend_on_its_place(
    encoder: Encoder, pixels: Pixels, image_rows: Floats
) -> None:
    np.testing.assert_array_equal(encoder.encode_images(pixels[::-1])[::-1], image_rows)


def test_an_image_does_not_depend_on_the_number_of_threads(
    encoder: Encoder, pixels: Pixels, image_rows: Floats
) -> None:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1 if n_threads > 1 else 2)
    try:
        np.testing.assert_array_equal(encoder.encode_images(pixels[:8]), image_rows[:8])
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 10), (39, 40)])
def test_a_caption_does_not_depend_on_its_batch(
    encoder: Encoder, caption_rows: Floats, start: int, stop: int
) -> None:
    np.testing.assert_array_equal(
        encoder.encode_captions(CAPTIONS[start:stop]), caption_rows[start:stop]
    )


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_of_a_run_changes_no_embedding(
    encoder: Encoder, tmp_path: Path, pixels: Pixels, batch_size: int
) -> None:
    images = [image_bytes(Image.fromarray(image), "PNG") for image in pixels[:7]]
    samples = [(f"{n}", {"png": x, "txt": CAPTIONS[n].encode()}) for n, x in enumerate(images)]
    (shard,) = discover_shards([str(write_shard(tmp_path / "0.tar", samples))])
    for size in (batch_size, 64):
        embed_shard(shard, tmp_path / f"{size}", encoder, EmbedOptions(batch_size=size))
    few, many = (read_embeddings(tmp_path / f"{size}") for size in (batch_size, 64))
    assert len(few.image) == 7
    np.testing.assert_array_equal(few.image, many.image)
    np.testing.assert_array_equal(few.caption, many.caption)


def test_batches_that_had_to_be_halved_move_no_embedding_by_more_than_1e_4(
    encoder: Encoder,
    pixels: Pixels,
    image_rows: Floats,
    caption_rows: Floats,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = FixedBatches.run
    monkeypatch.setattr(FixedBatches, "run", lambda _, *args: real(FixedBatches(1), *args))
    np.testing.assert_allclose(encoder.encode_images(pixels), image_rows, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_captions(CAPTIONS), caption_rows, atol=1e-4)


def test_captions_keep_their_order(encoder: Encoder, caption_rows: Floats) -> None:
    np.testing.assert_array_equal(encoder.encode_captions(CAPTIONS[::-1])[::-1], caption_rows)


def test_equal_captions_get_equal_rows(encoder: Encoder) -> None:
    rows = encoder.encode_captions(["a dog", "a cat", "a dog"])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert not np.array_equal(rows[0], rows[1])


def test_nothing_gives_no_rows(encoder: Encoder, pixels: Pixels) -> None:
    card = encoder.card
    assert encoder.encode_images(pixels[:0]).shape == (0, card.image_dim)
    assert encoder.encode_captions([]).shape == (0, card.caption_dim)


def test_card_names_the_way_from_file_to_pixels(encoder: Encoder) -> None:
    assert encoder.card.preprocess_id == encoder.preprocess.preprocess_id


def test_card_digest_changes_with_the_weights(encoder: Encoder) -> None:
    card = encoder.card
    other = dataclasses.replace(card, weights=dict.fromkeys(card.weights, "0" * 64))
    assert encoder_card_digest(card) == encoder_card_digest(dataclasses.replace(card))
    assert encoder_card_digest(card) != encoder_card_digest(other)
