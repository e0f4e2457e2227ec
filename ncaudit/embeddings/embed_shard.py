"""From one shard to its cached embeddings: the only code that decodes images.

Reading (a thread), decoding (threads; Pillow lets go of the interpreter lock) and encoding
overlap; the queue between them is bounded, so memory does not grow with the shard.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ncaudit.embeddings.cache import CachedShard, write_embeddings
from ncaudit.embeddings.id_rows import IdRows, image_digest
from ncaudit.embeddings.shard_source import ShardReadError, ShardSource, open_shard
from ncaudit.embeddings.step_clock import StepClock
from ncaudit.encoders import encoder_card_digest
from ncaudit.encoders.base import Encoder
from ncaudit.files import digest_json
from ncaudit.shards.captions import sample_fields
from ncaudit.shards.decode import Decoded, decode_image
from ncaudit.shards.examine import examine_sample
from ncaudit.shards.quarantine import DecodeTask, IsolatedDecoder
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import PairText, Sample, ShardDefect
from ncaudit.types import EncoderCard, Floats, Preprocess, ShardRef, Status

UNIT_NORM_TOLERANCE = 1e-2
Decode: TypeAlias = Callable[[bytes], Decoded]
# Raise it when the same shard and encoder would give other rows or embeddings than before.
CODE_VERSION = 1


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How a shard is embedded.

    Attributes:
        captions: Caption source, as `pairs_of` takes it.
        batch_size: Images handed to the encoder at a time.
        decode_threads: Threads that decode and resize.
        isolated: Whether to decode in a process of its own, slower: for shards that ended
            the process that decoded them.
    """

    captions: str = "auto"
    batch_size: int = 64
    decode_threads: int = 2
    isolated: bool = False


@dataclass(slots=True)
class _Rows(IdRows):
    """Rows under construction; embeddings are filled in batch by batch."""

    image_of_row: list[int] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    row_ids: list[int] = field(default_factory=list)
    image_of_digest: dict[str, int] = field(default_factory=dict)
    n_images: int = 0


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
    clock: StepClock | None = None,
) -> CachedShard:
    """Embed every readable pair of a shard and write its cache folder.

    A shard that cannot be read at all gets one row that says so. One that ended a process
    before is decoded in a process of its own, where an image that does so again is found.

    Args:
        shard: The shard to read.
        folder: Cache folder of this shard.
        encoder: Frozen towers.
        options: Caption source and batch sizes.
        on_bytes: Called with the number of bytes read since the last call.
        clock: Told how long each step works.

    Raises:
        OSError: If the cache cannot be written.
    """
    rows, images, sha256 = _Rows(), [np.zeros((0, encoder.card.image_dim), np.float16)], ""
    clock = clock or StepClock()
    try:
        with open_shard(shard.path) as file, _decoder(encoder.preprocess, options) as decode:
            source = ShardSource(file, shard.path, on_bytes)
            steps = _Steps(options, decode, clock)
            with closing(_decoded(source, steps, rows)) as reads:
                for batch in _batches(reads, options):
                    with clock.of("encode"):
                        images.append(_take_batch(batch, encoder, rows))
                    source.report()
            sha256 = source.finish()
    except ShardReadError as error:
        # What came before a broken connection is not the shard's: it is tried again as a whole.
        return write_unreadable(shard, folder, encoder.card, options.captions, str(error))
    if rows.defect and not rows.n_samples:
        rows.add_defect(rows.defect)
    with clock.of("encode"):
        image, caption = _aligned(encoder, rows, np.concatenate(images))
    cached = rows.cached(shard, embedding_key(encoder.card, options.captions), sha256)
    with clock.of("write"):
        write_embeddings(folder, rows.ids, image, caption, cached)
    return cached


def write_unreadable(
    shard: ShardRef, folder: Path, card: EncoderCard, captions: str, detail: str
) -> CachedShard:
    """Write the cache folder of a shard of which nothing could be read; it is tried again.

    Args:
        shard: The shard.
        folder: Cache folder of this shard.
        card: Of the encoder that would have been used.
        captions: Caption source.
        detail: Why not.

    Raises:
        OSError: If the cache cannot be written.
    """
    rows = _Rows(defect=ShardDefect(Status.SHARD_UNREADABLE, detail))
    rows.add_defect(ShardDefect(Status.SHARD_UNREADABLE, detail))
    cached = rows.cached(shard, embedding_key(card, captions), "")
    image, caption = (np.zeros((0, dim), np.float16) for dim in (card.image_dim, card.caption_dim))
    write_embeddings(folder, rows.ids, image, caption, cached)
    return cached


@dataclass(frozen=True, slots=True)
class _Steps:
    """How a shard is read and decoded, and who counts the time."""

    options: EmbedOptions
    decode: Decode
    clock: StepClock


@contextmanager
def _decoder(preprocess: Preprocess, options: EmbedOptions) -> Generator[Decode]:
    """Yield what decodes an image: here, or in a process that may die."""
    if not options.isolated:
        yield partial(decode_image, preprocess=preprocess)
        return
    with IsolatedDecoder(DecodeTask(preprocess=preprocess, decode=decode_image)) as decode:
        yield decode


def _decoded(source: ShardSource, steps: _Steps, rows: _Rows) -> Generator[_Read]:
    """Yield samples in shard order, read and decoded by threads a little ahead of the encoder."""
    options, samples = steps.options, read_samples(source)  # type: ignore[arg-type]
    reader, decoders = ThreadPoolExecutor(1), ThreadPoolExecutor(options.decode_threads)

    def decode(sample: Sample) -> _Read:
        with steps.clock.of("decode"):
            return _read(sample, steps.decode, options.captions)

    def read_next() -> Future[_Read] | ShardDefect | None:
        with steps.clock.of("read"):
            item = next(samples, None)
        return decoders.submit(decode, item) if isinstance(item, Sample) else item

    # One thread reads, so these come in shard order.
    ahead = deque(reader.submit(read_next) for _ in range(2 * options.batch_size))
    try:
        while (item := ahead.popleft().result()) is not None:
            ahead.append(reader.submit(read_next))
            if isinstance(item, ShardDefect):
                rows.defect = item
                continue
            rows.n_samples += 1
            yield item.result()
    finally:
        reader.shutdown(cancel_futures=True)
        decoders.shutdown(cancel_futures=True)


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


def _read(sample: Sample, decode: Decode, captions: str) -> _Read:
    digest = image_digest(sample)
    examined = examine_sample(sample, captions, decode)
    return _Read(sample, examined.pairs, sample_fields(sample), digest, examined.decoded)


def _take_batch(batch: list[_Read], encoder: Encoder, rows: _Rows) -> Floats:
    """Encode the images that are new in this shard and append the rows of all pairs.

    Returns:
        Embeddings of the new images, which follow those of earlier batches.
    """
    new = {read.digest: read.decoded.pixels for read in batch if read.decoded is not None}
    for known in new.keys() & rows.image_of_digest.keys():
        del new[known]
    empty = np.zeros((0, encoder.card.image_dim), np.float32)
    image = encoder.encode_images(np.stack(list(new.values()))) if new else empty
    for at, digest in enumerate(new):
        rows.image_of_digest[digest] = rows.n_images + at if _is_unit(image[at]) else -1
    for read in batch:
        at = rows.image_of_digest[read.digest] if read.decoded is not None else -1
        for pair in read.pairs:
            _add_pair(rows, read, pair, at)
    rows.n_images += len(new)
    return image.astype(np.float16)


def _add_pair(rows: _Rows, read: _Read, pair: PairText, image: int) -> None:
    """Append the row of a pair; `image` is -1 if its image has no valid embedding."""
    status, detail = pair.reject, pair.detail
    if status is None and image < 0:
        status, detail = Status.EMBEDDING_INVALID, "image embedding is zero or not finite"
    row = -1
    if status is None:
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
        detail = "caption embedding is zero or not finite"
        rows.reject(rows.row_ids[row], str(Status.EMBEDDING_INVALID), detail)
    for kept_row, row in enumerate(np.flatnonzero(valid)):
        rows.ids["embedding_row"][rows.row_ids[row]] = kept_row
    return image[valid], caption[valid]


def _is_unit(row: Floats) -> bool:
    return bool(
        np.isfinite(row).all() and abs(float(np.linalg.norm(row)) - 1) < UNIT_NORM_TOLERANCE
    )
