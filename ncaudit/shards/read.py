"""Samples out of a shard: consecutive members of one key, as WebDataset groups them.

Separate from decoding, so that reading a tar is the same whatever is done with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import IO

from ncaudit.shards.members import Member, TarDamageError, read_members
from ncaudit.shards.names import printable, split_name, unsafe_reason
from ncaudit.shards.samples import Sample, ShardDefect
from ncaudit.shards.stream import TarStream
from ncaudit.types import Status

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")  # the first one present is the image
MAX_SAMPLE_MEMBERS = 64


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Sizes above which a member is not read; all in bytes."""

    image_bytes: int = 64 << 20
    caption_bytes: int = 1 << 20
    json_bytes: int = 4 << 20

    def of(self, suffix: str) -> int | None:
        """Return the limit of a suffix, or None if such members are not held at all."""
        if suffix in IMAGE_SUFFIXES:
            return self.image_bytes
        return {"txt": self.caption_bytes, "json": self.json_bytes}.get(suffix)


DEFAULT_READ_LIMITS = ReadLimits()


def read_samples(
    file: IO[bytes], limits: ReadLimits = DEFAULT_READ_LIMITS
) -> Iterator[Sample | ShardDefect]:
    """Yield a shard's samples in order, then at most one defect.

    Nothing in the data makes it raise: what cannot be read becomes a reject of its
    sample, and a tar that is cut or corrupt yields what comes before the damage.

    Rejects of a sample: DUPLICATE_KEY if its key came before in the shard;
    MEMBER_TOO_LARGE; SHARD_TRUNCATED if a member of it is cut; UNSAFE_NAME if a name is
    absolute, over 4,096 characters, or has `..` or control characters, or if its image
    or caption is a link, a device or a sparse file, none of which is ever followed.

    Args:
        file: Tar, or gzip of one, from its start; only `read` is called.
        limits: Sizes above which a member is not read.

    Raises:
        OSError: If the file itself cannot be read.

    Differs from the source:
        webdataset stops at a repeated suffix; here it starts a second sample of the
        key. A leading `./` is no part of the key.
    """
    stream = TarStream(file)
    grouper = _Grouper(limits)
    defect = None
    try:
        for member in read_members(stream):
            if (sample := grouper.add(member, stream)) is not None:
                yield sample
    except TarDamageError as damage:
        defect = ShardDefect(damage.status, str(damage))
    if (sample := grouper.finish(cut_at=stream.position)) is not None:
        yield sample
    if defect is not None:
        yield defect


def image_of(sample: Sample) -> tuple[str, bytes] | None:
    """Return suffix and content of the sample's image, or None if it has none."""
    for suffix in IMAGE_SUFFIXES:
        if suffix in sample.members:
            return suffix, sample.members[suffix]
    return None


@dataclass(slots=True)
class _Group:
    """The sample being read."""

    key: str
    start: int
    stop: int
    members: dict[str, bytes] = field(default_factory=dict)
    suffixes: set[str] = field(default_factory=set)
    reject: Status | None = None
    detail: str = ""

    def refuse(self, status: Status, detail: str) -> None:
        # The first reason stands.
        if self.reject is None:
            self.reject, self.detail = status, detail


class _Grouper:
    """Joins members to samples; holds one sample and a hash per key seen."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits
        self._n_samples = 0
        self._seen: set[bytes] = set()
        self._group: _Group | None = None

    def add(self, member: Member, stream: TarStream) -> Sample | None:
        """Take the next member; return the sample before it if that is now complete."""
        names = split_name(member.info.name)
        if names is None or member.kind == "folder":
            return None
        key, suffix = names[0], names[1].lower()
        if member.kind and self._limits.of(suffix) is None:
            return None
        done, group = None, self._group
        if group is None or key != group.key or suffix in group.suffixes:
            done = self.finish(cut_at=member.start)
            group = self._open(key, member)
        group.stop = member.stop
        if why := unsafe_reason(member.info.name):
            group.refuse(Status.UNSAFE_NAME, why)
        if len(group.suffixes) < MAX_SAMPLE_MEMBERS:
            group.suffixes.add(suffix)
            self._hold(group, suffix, member, stream)
        return done

    def finish(self, *, cut_at: int) -> Sample | None:
        """Return the sample being read; it is cut if it should go on after `cut_at`."""
        group, self._group = self._group, None
        if group is None:
            return None
        if group.stop > cut_at:
            group.refuse(Status.SHARD_TRUNCATED, f"cut at byte {cut_at}")
        self._n_samples += 1
        return Sample(
            index=self._n_samples - 1,
            key=printable(group.key),
            members=group.members,
            start=group.start,
            stop=min(group.stop, cut_at),
            reject=group.reject,
            detail=group.detail,
            others=tuple(printable(name) for name in sorted(group.suffixes - {*group.members})),
        )

    def _open(self, key: str, member: Member) -> _Group:
        group = self._group = _Group(key, member.start, member.stop)
        # A hash, not the key: a shard may hold a million of them.
        key_hash = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        if key_hash in self._seen:
            group.refuse(Status.DUPLICATE_KEY, "the key came before in this shard")
        self._seen.add(key_hash)
        return group

    def _hold(self, group: _Group, suffix: str, member: Member, stream: TarStream) -> None:
        limit = self._limits.of(suffix)
        n_bytes = member.info.size
        if limit is None:
            return
        if member.kind:
            group.refuse(Status.UNSAFE_NAME, f".{suffix} is a {member.kind}: not followed")
        elif n_bytes > limit:
            detail = f".{suffix} has {n_bytes:,} bytes; the limit is {limit:,}"
            group.refuse(Status.MEMBER_TOO_LARGE, detail)
        else:
            content = stream.read(n_bytes)
            if len(content) == n_bytes:
                group.members[suffix] = content
