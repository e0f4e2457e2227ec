"""Preflight: every defect of some shards, found with the code that scores, before a run."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from queue import SimpleQueue
from typing import Any, Self, TypeAlias

from ncaudit.audit.stages import StageProgress, Stages
from ncaudit.devices import usable_cores
from ncaudit.embeddings.shard_source import ShardReadError, ShardSource, open_shard
from ncaudit.errors import InputError, ShardsFailedError
from ncaudit.shards.captions import check_source
from ncaudit.shards.decode import Decoded, decode_image
from ncaudit.shards.discover import discover_shards
from ncaudit.shards.examine import ExaminedSample, examine_sample
from ncaudit.shards.quarantine import Decode, DecodeTask, IsolatedDecoder
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import Sample, ShardDefect
from ncaudit.types import Fit, Preprocess, ShardRef, Status

# The size matters only to what is left of a picture, not to whether it can be read.
_PREPROCESS = Preprocess(224, Fit.SQUASH)
_NO_SAMPLES = "no_samples"
_N_AHEAD = 4


class Severity(StrEnum):
    """How much a defect costs."""

    NOTE = "note"  # a pair is rejected, or a shard is empty; nothing else is lost
    WARNING = "warning"  # a shard is damaged, and only what comes before that is read
    ERROR = "error"  # nothing of a shard can be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One thing that is wrong.

    Attributes:
        severity: How much it costs.
        shard: The `shard` column.
        key: Key of the sample, "" if it is about the shard.
        caption_index: Which caption of the sample, or None if it is about the shard.
        status: Reject reason, as audit.csv shows it; `no_samples` for an empty shard.
        detail: One line for people.
    """

    severity: Severity
    shard: str
    key: str = ""
    caption_index: int | None = None
    status: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Totals of a preflight.

    Attributes:
        shards: Shards looked at.
        shards_damaged: Shards that can be read in part.
        shards_unreadable: Shards of which nothing can be read.
        samples: Samples found.
        pairs: Rows that `score` would write.
        good_pairs: Pairs without a defect; only encoding can still reject them.
        rejects: Reject reason to count; sums to `pairs - good_pairs`.
        defects: Severity to count.
        decoded: Whether images were decoded.
    """

    shards: int
    shards_damaged: int
    shards_unreadable: int
    samples: int
    pairs: int
    good_pairs: int
    rejects: dict[str, int]
    defects: dict[str, int]
    decoded: bool

    def as_plain(self) -> dict[str, Any]:
        """Return the totals as JSON values."""
        return asdict(self)


OnDefect: TypeAlias = Callable[[Defect], None]


def validate_shards(
    patterns: Sequence[str],
    on_defect: OnDefect,
    progress: StageProgress | None = None,
    *,
    captions: str = "auto",
    decode: Decode | None = decode_image,
) -> Validation:
    """Read shards as `score` does and tell every defect as it is found, in shard order.

    Images are decoded in processes of their own, so that one that crashes the decoder is
    a defect like any other. Memory grows neither with shards nor with defects.

    Args:
        patterns: As `discover_shards` takes them.
        on_defect: Called with each defect.
        progress: Who is told how far it is, in bytes.
        captions: Caption source, as `pairs_of` takes it.
        decode: What decodes images; None to leave them undecoded.

    Raises:
        ConfigError: If `captions` has an unknown form.
        InputError: If there are no shards.
    """
    check_source(captions)
    shards = discover_shards(patterns)
    stages = Stages(progress)
    stages.stage("validate", sum(shard.n_bytes for shard in shards), "bytes")
    counts = _Counts()
    with _Examiner(captions, decode) as examiner:
        for shard in shards:
            counts.add(_check_shard(shard, examiner, on_defect, stages))
    stages.finish()
    return Validation(
        shards=len(shards),
        shards_damaged=counts.defects[Severity.WARNING],
        shards_unreadable=counts.defects[Severity.ERROR],
        samples=counts.n_samples,
        pairs=counts.n_good + counts.rejects.total(),
        good_pairs=counts.n_good,
        rejects=dict(sorted(counts.rejects.items())),
        defects={str(severity): counts.defects[severity] for severity in Severity},
        decoded=decode is not None,
    )


def raise_for_damage(found: Validation) -> None:
    """Raise what the exit code of a preflight is to tell.

    Raises:
        InputError: If there is nothing in any shard that `score` could read.
        ShardsFailedError: If some shards cannot be read, or only in part.
    """
    if not found.samples:
        raise InputError(
            "there is not one sample that could be read",
            hint="Point at WebDataset shards: tars of members like 000.jpg and 000.txt.",
        )
    n_damaged = found.shards_damaged + found.shards_unreadable
    if n_damaged:
        raise ShardsFailedError(
            f"{n_damaged} of {found.shards} shards cannot be read, or only in part",
            hint="Fetch or write them again, or score without what they lost.",
        )


@dataclass(slots=True)
class _Counts:
    n_samples: int = 0
    n_good: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    defects: Counter[Severity] = field(default_factory=Counter)

    def add(self, other: "_Counts") -> None:
        self.n_samples += other.n_samples
        self.n_good += other.n_good
        self.rejects.update(other.rejects)
        self.defects.update(other.defects)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells defects and counts them."""

    on_defect: OnDefect
    counts: _Counts

    def tell(self, defect: Defect) -> None:
        self.counts.defects[defect.severity] += 1
        self.on_defect(defect)

    def tell_sample(self, shard: str, examined: ExaminedSample) -> None:
        self.counts.n_samples += 1
        for pair in examined.pairs:
            if pair.reject is None:
                self.counts.n_good += 1
                continue
            self.counts.rejects[pair.reject] += 1
            self.tell(
                Defect(
                    severity=Severity.NOTE,
                    shard=shard,
                    key=examined.sample.key,
                    caption_index=pair.caption_index,
                    status=str(pair.reject),
                    detail=pair.detail,
                )
            )


class _DecoderPool:
    """A decoder process per thread; a call takes one that is free."""

    def __init__(self, decode: Decode, n_decoders: int) -> None:
        task = DecodeTask(preprocess=_PREPROCESS, decode=decode, with_pixels=False)
        self._all = [IsolatedDecoder(task) for _ in range(n_decoders)]
        self._free: SimpleQueue[IsolatedDecoder] = SimpleQueue()
        for decoder in self._all:
            self._free.put(decoder)

    def __call__(self, data: bytes) -> Decoded:
        decoder = self._free.get()
        try:
            return decoder(data)
        finally:
            self._free.put(decoder)

    def close(self) -> None:
        for decoder in self._all:
            decoder.close()


class _Examiner:
    """Examines samples in threads, a little ahead of who asks for them."""

    def __init__(self, captions: str, decode: Decode | None) -> None:
        self._captions = captions
        self._n_threads = usable_cores()
        self._threads = ThreadPoolExecutor(self._n_threads)
        self._decode = None if decode is None else _DecoderPool(decode, self._n_threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._decode is not None:
            self._decode.close()

    def examined(
        self, items: Iterable[Sample | ShardDefect]
    ) -> Iterator[ExaminedSample | ShardDefect]:
        """Yield the samples, examined, and the defect in their order."""
        waiting: deque[Future[ExaminedSample]] = deque()
        defect = None
        for item in items:
            if isinstance(item, ShardDefect):
                defect = item
                continue
            waiting.append(
                self._threads.submit(examine_sample, item, self._captions, self._decode)
            )
            if len(waiting) > _N_AHEAD * self._n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if defect is not None:
            yield defect


def _check_shard(
    shard: ShardRef, examiner: _Examiner, on_defect: OnDefect, stages: Stages
) -> _Counts:
    """Tell the defects of one shard and count its pairs."""
    teller, defect = _Teller(on_defect, _Counts()), None
    try:
        with open_shard(shard.path) as file:
            source = ShardSource(file, shard.path, stages.advance)
            for item in examiner.examined(read_samples(source)):  # type: ignore[arg-type]
                if isinstance(item, ShardDefect):
                    defect = item
                else:
                    teller.tell_sample(shard.name, item)
                source.report()
            source.finish()
    except ShardReadError as error:
        # As in an audit: what came before a broken connection is not the shard's.
        teller = _Teller(on_defect, _Counts(defects=teller.counts.defects))
        defect = ShardDefect(Status.SHARD_UNREADABLE, str(error))
    _tell_shard(shard, defect, teller)
    return teller.counts


def _tell_shard(shard: ShardRef, defect: ShardDefect | None, teller: _Teller) -> None:
    has_samples = teller.counts.n_samples > 0
    if defect is not None and not has_samples:
        teller.counts.rejects[defect.status] += 1  # the one row that an audit has of it
    severity, status, detail = Severity.NOTE, _NO_SAMPLES, "an empty tar, or no member has a key"
    if defect is not None:
        severity = Severity.WARNING if has_samples else Severity.ERROR
        status, detail = str(defect.status), defect.detail
    if defect is not None or not has_samples:
        teller.tell(Defect(severity=severity, shard=shard.name, status=status, detail=detail))
