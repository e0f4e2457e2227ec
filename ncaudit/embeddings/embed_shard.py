"""From one shard to its cached embeddings: the only code that decodes images.

Reading, decoding (threads; Pillow lets go of the interpreter lock) and encoding overlap;
the queue between them is bounded, so memory does not grow with the shard.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.embeddings.cache import IDS_COLUMNS, CachedShard, tally_ids, write_embeddings
from ncaudit.embeddings.shard_source import ShardReadError, ShardSource, open_shard
from ncaudit.encoders import encoder_card_digest
from ncaudit.encoders.base import Encoder
from ncaudit.files import digest_json
from ncaudit.shards.captions import sample_fields
from ncaudit.shards.decode import Decoded, decode_image
from ncaudit.shards.examine import examine_sample
from ncaudit.shards.read import image_of, read_samples
from ncaudit.shards.samples import PairText, Sample, ShardDefect
from ncaudit.types import EncoderCard, Floats, Preprocess, ShardRef, Status

UNIT_NORM_TOLERANCE = 1e-2
# Raise it when the same shard and encoder would give other rows or embeddings than before.
CODE_VERSION = 1


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How a shard is embedded.

    Attributes:
        captions: Caption source, as `pairs_of` takes it.
        batch_size: Images handed to the encoder at a time.
        decode_threads: Threads that decode and resize.
    """

    captions: str = "auto"
    batch_size: int = 64
    decode_threads: int = 2


@dataclass(slots=True)
class _Rows:
    """Rows under construction; embeddings are filled in batch by batch."""

    ids: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in IDS_COLUMNS})
    image_of_row: list[int] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    row_ids: list[int] = field(default_factory=list)
    n_images: int = 0
    n_samples: int = 0
    defect: ShardDefect | None = None

    def add(self, **values: Any) -> None:
        for name in IDS_COLUMNS:
            self.ids[name].append(values.get(name, "" if name in _BLANK else None))

    def add_defect(self, defect: ShardDefect) -> None:
        """Add the row of a shard in which nothing could be read, so that it is not silent."""
        status = str(defect.status)
        self.add(caption_index=0, status=status, detail=defect.detail, embedding_row=-1)


_BLANK = ("key", "caption", "uid", "url", "image_digest")


@dataclass(frozen=True, slots=True)
class _Read:
    """One sample with its captions and, unless that was rejected, its image."""

    sample: Sample
    pairs: list[PairText]
    fields: dict[str, str]
    digest: str
    decoded: Decoded | None


def embedding_key(card: EncoderCard, captions: str) -> str:
    """Return the digest of all that decides a shard's embeddings, but for the shard."""
    return digest_json(
        {"encoder": encoder_card_digest(card), "captions": captions, "code": CODE_VERSION}
    )


def embed_shard(
    shard: ShardRef,
    folder: Path,
    encoder: Encoder,
    options: EmbedOptions,
    on_bytes: Callable[[int], None] | None = None,
) -> CachedShard:
    """Embed every readable pair of a shard and write its cache folder.

    A shard that cannot be read at all gets one row that says so.

    Args:
        shard: The shard to read.
        folder: Cache folder of this shard.
        encoder: Frozen towers.
        options: Caption source and batch sizes.
        on_bytes: Called with the number of bytes read since the last call.

    Raises:
        OSError: If the cache cannot be written.
    """
    rows, images, sha256 = _Rows(), [np.zeros((0, encoder.card.image_dim), np.float16)], ""
    try:
        with open_shard(shard.path) as file:
            source = ShardSource(file, shard.path, on_bytes)
            reads = _decoded(source, encoder.preprocess, options, rows)
            images.extend(_take_batch(batch, encoder, rows) for batch in _batches(reads, options))
            sha256 = source.finish()
    except ShardReadError as error:
        # What came before a broken connection is not the shard's: it is tried again as a whole.
        rows, images = _Rows(defect=ShardDefect(Status.SHARD_UNREADABLE, str(error))), images[:1]
    if rows.defect and not rows.n_samples:
        rows.add_defect(rows.defect)
    image, caption = _aligned(encoder, rows, np.concatenate(images))
    defect = f"{rows.defect.status}: {rows.defect.detail}" if rows.defect else ""
    cached = CachedShard(
        key=embedding_key(encoder.card, options.captions),
        path=shard.path,
        n_bytes=shard.n_bytes,
        modified=shard.modified,
        sha256=sha256,
        n_samples=rows.n_samples,
        tally=tally_ids(shard.name, rows.ids, defect),
    )
    write_embeddings(folder, rows.ids, image, caption, cached)
    return cached


def _decoded(
    source: ShardSource, preprocess: Preprocess, options: EmbedOptions, rows: _Rows
) -> Generator[_Read]:
    """Yield samples in shard order, decoded by threads a little ahead of the encoder."""
    ahead = 2 * options.batch_size
    waiting: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(options.decode_threads) as pool:
        for item in read_samples(source):  # type: ignore[arg-type]
            if isinstance(item, ShardDefect):
                rows.defect = item
                continue
            rows.n_samples += 1
            waiting.append(pool.submit(_read, item, preprocess, options.captions))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _batches(reads: Iterator[_Read], options: EmbedOptions) -> Iterator[list[_Read]]:
    batch: list[_Read] = []
    n_images = 0
    for read in reads:
        batch.append(read)
        n_images += read.decoded is not None
        if n_images == options.batch_size or len(batch) == 16 * options.batch_size:
            yield batch
            batch, n_images = [], 0
    if batch:
        yield batch


def _read(sample: Sample, preprocess: Preprocess, captions: str) -> _Read:
    found = image_of(sample)
    digest = hashlib.sha256(found[1]).hexdigest()[:16] if found else ""
    examined = examine_sample(sample, captions, lambda data: decode_image(data, preprocess))
    return _Read(sample, examined.pairs, sample_fields(sample), digest, examined.decoded)


def _take_batch(batch: list[_Read], encoder: Encoder, rows: _Rows) -> Floats:
    """Encode the batch's images and append the rows of its pairs."""
    pixels = [read.decoded.pixels for read in batch if read.decoded is not None]
    empty = np.zeros((0, encoder.card.image_dim), np.float32)
    image = encoder.encode_images(np.stack(pixels)) if pixels else empty
    at = -1
    for read in batch:
        at += read.decoded is not None
        is_valid = read.decoded is not None and _is_unit(image[at])
        for pair in read.pairs:
            _add_pair(rows, read, pair, rows.n_images + at if is_valid else None)
    rows.n_images += len(pixels)
    return image.astype(np.float16)


def _add_pair(rows: _Rows, read: _Read, pair: PairText, image: int | None) -> None:
    """Append the row of a pair; `image` is None if its image has no valid embedding."""
    status, detail = pair.reject, pair.detail
    if status is None and image is None:
        status, detail = Status.EMBEDDING_INVALID, "image embedding is zero or not finite"
    row = -1
    if status is None and image is not None:
        row = len(rows.captions)
        rows.captions.append(pair.caption)
        rows.image_of_row.append(image)
        rows.row_ids.append(len(rows.ids["status"]))
    rows.add(
        sample_index=read.sample.index,
        key=read.sample.key,
        caption_index=pair.caption_index,
        status=str(status or Status.SCORED),
        detail=detail if status else "",
        caption=pair.caption,
        uid=read.fields.get("uid", ""),
        url=read.fields.get("url", ""),
        image_digest=read.digest,
        image_width=read.decoded.width if read.decoded else None,
        image_height=read.decoded.height if read.decoded else None,
        sample_start=read.sample.start,
        sample_stop=read.sample.stop,
        embedding_row=row,
    )


def _aligned(encoder: Encoder, rows: _Rows, images: Floats) -> tuple[Floats, Floats]:
    """Return image and caption embeddings row by row; pairs without both become rejects."""
    image = images[np.array(rows.image_of_row, np.int64)]
    caption = np.zeros((len(rows.captions), encoder.card.caption_dim), np.float32)
    if rows.captions:
        caption = encoder.encode_captions(rows.captions)
    valid = np.array([_is_unit(row) for row in caption], bool)
    for row in np.flatnonzero(~valid):
        at = rows.row_ids[row]
        rows.ids["status"][at] = str(Status.EMBEDDING_INVALID)
        rows.ids["detail"][at] = "caption embedding is zero or not finite"
        rows.ids["embedding_row"][at] = -1
    for kept_row, row in enumerate(np.flatnonzero(valid)):
        rows.ids["embedding_row"][rows.row_ids[row]] = kept_row
    return image[valid], caption[valid]


def _is_unit(row: Floats) -> bool:
    return bool(
        np.isfinite(row).all() and abs(float(np.linalg.norm(row)) - 1) < UNIT_NORM_TOLERANCE
    )
