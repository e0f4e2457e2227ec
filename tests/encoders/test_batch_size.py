"""How many images are encoded at a time decides no embedding."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ncaudit.embeddings.cache import read_embeddings
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard
from ncaudit.encoders.base import Encoder
from ncaudit.encoders.batches import FixedBatches
from ncaudit.shards.discover import discover_shards
from ncaudit.testing.encoders import waves
from tests.support.shards import image_bytes, write_shard

CAPTIONS = [" ".join(["a", "brown", "dog", "runs"][: 1 + n % 4]) + f" {n}" for n in range(20)]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_of_a_run_changes_no_embedding(
    encoder: Encoder, tmp_path: Path, batch_size: int
) -> None:
    pixels = waves(7, encoder.preprocess.size_px)
    images = [image_bytes(Image.fromarray(image), "PNG") for image in pixels]
    samples = [(f"{n}", {"png": x, "txt": CAPTIONS[n].encode()}) for n, x in enumerate(images)]
    (shard,) = discover_shards([str(write_shard(tmp_path / "0.tar", samples))])
    for size in (batch_size, 64):
        embed_shard(shard, tmp_path / f"{size}", encoder, EmbedOptions(batch_size=size))
    few, many = (read_embeddings(tmp_path / f"{size}") for size in (batch_size, 64))
    assert len(few.image) == 7
    np.testing.assert_array_equal(few.image, many.image)
    np.testing.assert_array_equal(few.caption, many.caption)


def test_batches_that_had_to_be_halved_move_no_embedding_by_more_than_1e_4(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = waves(9, encoder.preprocess.size_px)
    images, captions = encoder.encode_images(pixels), encoder.encode_captions(CAPTIONS)
    real = FixedBatches.run
    monkeypatch.setattr(FixedBatches, "run", lambda _, *args: real(FixedBatches(1), *args))
    np.testing.assert_allclose(encoder.encode_images(pixels), images, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_captions(CAPTIONS), captions, atol=1e-4)
