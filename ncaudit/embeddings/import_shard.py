"""From one shard and embeddings that are there already to the cache: no image is decoded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ncaudit.embeddings.cache import CachedShard, write_embeddings
from ncaudit.embeddings.embed_shard import (
    UNIT_NORM_TOLERANCE,
    embedding_key,
    write_unreadable,
)
from ncaudit.embeddings.id_rows import IdRows, image_digest
from ncaudit.embeddings.imported import ImportedEmbeddings
from ncaudit.embeddings.shard_source import ShardReadError, ShardSource, open_shard
from ncaudit.errors import InputError
from ncaudit.files import digest_json
from ncaudit.shards.captions import sample_fields
from ncaudit.shards.examine import examine_sample
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import PairText, Sample, ShardDefect
from ncaudit.types import Bools, Floats, ShardRef, Status

_REPORT_EVERY = 256
_HINT = "Import embeddings that were made of these shards, or leave out --embeddings."


@dataclass(slots=True)
class _Rows(IdRows):
    """Rows under construction, and the pairs that wait for an embedding.

    Attributes:
        waiting: Row of each.
        names: Its key or uid.
        embedding: Row of the embeddings, in step with the rows that are scored.
    """

    waiting: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    embedding: list[int] = field(default_factory=list)


def import_key(source: ImportedEmbeddings, captions: str) -> str:
    """Return the digest of all that decides a shard's imported embeddings, but for the shard."""
    return digest_json([embedding_key(source.card, captions), source.digest])


def import_shard(
    shard: ShardRef,
    folder: Path,
    source: ImportedEmbeddings,
    captions: str,
    on_bytes: Callable[[int], None] | None = None,
) -> CachedShard:
    """Give every pair of a shard its embeddings and write its cache folder.

    Statuses are those of `embed_shard`, but for what only decoding finds. A pair that has
    no embedding is rejected as EMBEDDING_MISSING.

    Args:
        shard: The shard to read.
        folder: Cache folder of this shard.
        source: Where embeddings come from.
        captions: Caption source, as `pairs_of` takes it.
        on_bytes: Called with the number of bytes read since the last call.

    Raises:
        InputError: If the embeddings are of other captions, if it cannot be told whose they
            are, or if they can no longer be read.
        OSError: If the cache cannot be written.
    """
    rows = _Rows()
    try:
        with open_shard(shard.path) as file:
            reader = ShardSource(file, shard.path, on_bytes)
            _read_all(reader, rows, source, captions)
            sha256 = reader.finish()
    except ShardReadError as error:
        return write_unreadable(shard, folder, source.card, captions, str(error))
    if rows.defect and not rows.n_samples:
        rows.add_defect(rows.defect)
    _match(shard.name, rows, source)
    image, caption = _valid(rows, *source.take(np.array(rows.embedding, np.int64)))
    cached = rows.cached(shard, import_key(source, captions), sha256)
    write_embeddings(folder, rows.ids, image, caption, cached)
    return cached


def _read_all(reader: ShardSource, rows: _Rows, source: ImportedEmbeddings, captions: str) -> None:
    for item in read_samples(reader):  # type: ignore[arg-type]
        if isinstance(item, ShardDefect):
            rows.defect = item
            continue
        rows.n_samples += 1
        fields = sample_fields(item)
        name = fields.get("uid", "") if source.by_uid else item.key
        for pair in examine_sample(item, captions, None).pairs:
            if pair.reject is None:
                rows.waiting.append(len(rows.ids["status"]))
                rows.names.append(name)
            _add_pair(rows, item, pair, fields)
        if rows.n_samples % _REPORT_EVERY == 0:
            reader.report()


def _add_pair(rows: _Rows, sample: Sample, pair: PairText, fields: dict[str, str]) -> None:
    rows.add(
        sample_index=sample.index,
        key=sample.key,
        caption_index=pair.caption_index,
        status=str(pair.reject or Status.SCORED),
        detail=pair.detail if pair.reject else "",
        caption=pair.caption,
        uid=fields.get("uid", ""),
        url=fields.get("url", ""),
        image_digest=image_digest(sample),
        sample_start=sample.start,
        sample_stop=sample.stop,
        embedding_row=-1,
    )


def _match(shard: str, rows: _Rows, source: ImportedEmbeddings) -> None:
    """Find the embedding of each pair that waits; those without become rejects.

    Raises:
        InputError: If a sample is known under other captions only, or a pair comes twice.
    """
    texts = [rows.ids["caption"][at] for at in rows.waiting]
    samples = [rows.ids["sample_index"][at] for at in rows.waiting]
    known, good = set[int](), set[int]()
    for at, sample, of_name, of_pair in zip(
        rows.waiting, samples, *source.find(rows.names, texts), strict=True
    ):
        if len(of_pair) > 1 or (sample in good and not source.has_captions):
            raise _ambiguous(shard, rows.ids["key"][at], source)
        if len(of_name):
            known.add(sample)
        if len(of_pair):
            good.add(sample)
            rows.ids["embedding_row"][at] = len(rows.embedding)
            rows.embedding.append(int(of_pair[0]))
        else:
            what = "caption" if len(of_name) else "uid" if source.by_uid else "key"
            detail = f"{source.folder.name} has no row of this {what}"
            rows.reject(at, str(Status.EMBEDDING_MISSING), detail)
    if other := known - good:
        at = rows.ids["sample_index"].index(min(other))
        raise InputError(
            f"{shard}: {len(other):,} samples have other captions than those that were embedded, "
            f"the first is {rows.ids['key'][at]}",
            hint=_HINT,
        )


def _ambiguous(shard: str, key: str, source: ImportedEmbeddings) -> InputError:
    if source.has_captions:
        why = "comes several times with the same caption"
    else:
        why = "comes with several captions or embeddings, and the metadata has no captions"
    return InputError(f"{shard}: {key} {why}; which embedding is whose?", hint=_HINT)


def _valid(rows: _Rows, image: Floats, caption: Floats) -> tuple[Floats, Floats]:
    """Return unit rows, float16; pairs without two of them become rejects.

    Rows that are unit vectors already, up to float16, are taken bit for bit.
    """
    lengths = [np.linalg.norm(side, axis=1) for side in (image, caption)]
    bad: list[Bools] = [~(np.isfinite(length) & (length > 0)) for length in lengths]
    scored = [at for at, row in enumerate(rows.ids["embedding_row"]) if row >= 0]
    kept = 0
    for row, at in enumerate(scored):
        if bad[0][row] or bad[1][row]:
            which = "image" if bad[0][row] else "caption"
            detail = f"{which} embedding is zero or not finite"
            rows.reject(at, str(Status.EMBEDDING_INVALID), detail)
            continue
        rows.ids["embedding_row"][at] = kept
        kept += 1
    good = ~(bad[0] | bad[1])
    return _unit(image[good], lengths[0][good]), _unit(caption[good], lengths[1][good])


def _unit(rows: Floats, lengths: Floats) -> Floats:
    factor = np.where(abs(lengths - 1) < UNIT_NORM_TOLERANCE, 1.0, lengths)
    return (rows / factor[:, None]).astype(np.float16)
