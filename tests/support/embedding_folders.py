"""Folders of embeddings as clip-retrieval and DataComp leave them, in an order of their own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ncaudit.shards.captions import pairs_of, sample_fields
from ncaudit.shards.decode import decode_image
from ncaudit.shards.read import image_of, read_samples
from ncaudit.shards.samples import Sample
from ncaudit.types import Floats
from tests.support.toy_encoder import ToyEncoder

ENCODER = ToyEncoder(aligned=True)
Embedded = tuple[list[str], list[str], list[str], Floats, Floats]


def embedded(shards: Sequence[Path]) -> Embedded:
    """Return keys, uids, captions, image and caption embeddings of shards, turned round."""
    samples = [x for shard in shards for x in _samples(shard)][::-1]
    captions = [pairs_of(sample)[0].caption for sample in samples]
    pixels = [
        decode_image(image_of(sample)[1], preprocess=ENCODER.preprocess).pixels  # type: ignore[index]
        for sample in samples
    ]
    return (
        [sample.key for sample in samples],
        [sample_fields(sample).get("uid", "") for sample in samples],
        captions,
        ENCODER.encode_images(np.stack(pixels)).astype(np.float16),
        ENCODER.encode_captions(captions).astype(np.float16),
    )


def write_clip_retrieval(folder: Path, shards: Sequence[Path], *, n_files: int = 2) -> Path:
    """Write img_emb, text_emb and metadata of shards, in several files."""
    keys, _, captions, image, caption = embedded(shards)
    for at, rows in enumerate(np.array_split(np.arange(len(keys)), n_files)):
        for kind, values in (("img_emb", image), ("text_emb", caption)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            np.save(folder / kind / f"{kind}_{at}.npy", values[rows])
        (folder / "metadata").mkdir(exist_ok=True)
        columns = {
            "image_path": [keys[row] for row in rows],
            "caption": [captions[row] for row in rows],
        }
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{at}.parquet")
    return folder


def write_datacomp(folder: Path, shards: Sequence[Path]) -> Path:
    """Write a DataComp `.parquet` and its `.npz`; only the tower `b32` is of any use."""
    _, uids, captions, image, caption = embedded(shards)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"uid": uids, "text": captions}), folder / "0a1b.parquet")
    useless = np.zeros((len(uids), 8), np.float16)
    np.savez(
        folder / "0a1b.npz", b32_img=image, b32_txt=3 * caption, l14_img=useless, l14_txt=useless
    )
    return folder


def _samples(shard: Path) -> list[Sample]:
    with shard.open("rb") as file:
        return [sample for sample in read_samples(file) if isinstance(sample, Sample)]
