"""Byte ranges of a tar into another tar, verbatim.

The cleaner's hands: members keep their bytes, headers included, and their order.
"""

import gzip
import json
import tarfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from ncaudit.errors import InputError
from ncaudit.files import open_read
from ncaudit.shards.members import Member, TarDamageError, next_member
from ncaudit.shards.names import split_name
from ncaudit.shards.read import DEFAULT_READ_LIMITS
from ncaudit.shards.stream import GZIP_ERRORS, GZIP_MAGIC, PIECE_BYTES, TarStream

_END_MARK = bytes(2 * tarfile.BLOCKSIZE)
_NOTE = "ncaudit"


def open_tar_bytes(path: str) -> IO[bytes]:
    """Open a tar, or gzip of one, as its uncompressed bytes; seekable.

    Raises:
        InputError: For `pipe:` URLs.
        OSError: If the file cannot be opened.
    """
    file = open_read(path)
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    return cast(IO[bytes], _OwningGzip(file)) if magic == GZIP_MAGIC else file


def copy_samples(source: IO[bytes], spans: Sequence[tuple[int, int]], target: IO[bytes]) -> None:
    """Write a tar of the given byte ranges of another one, verbatim and in this order.

    Args:
        source: Uncompressed tar, seekable, as `open_tar_bytes` gives it.
        spans: (start, stop) of whole samples, in bytes.
        target: Empty file; it holds a whole tar afterwards.

    Raises:
        InputError: If the source is damaged or ends before a span does.
        ValueError: If a span does not start and stop at a tar block, as those of samples
            cut short do not.
    """
    for span in _merged(spans):
        _copy(source, span, target)
    end_archive(target)


def rewrite_sample(
    source: IO[bytes], span: tuple[int, int], extra: Mapping[str, Any], target: IO[bytes]
) -> None:
    """Append one sample to a tar, with `extra` under `ncaudit` in its json.

    Its other members are copied verbatim, but a member that the span cuts is left out.
    A sample without json gets one at its end. A json that is no object or is over the
    reading limit is copied as it is, and `{key}.ncaudit.json` is added at the end. Call
    `end_archive` after the last sample.

    Args:
        source: Uncompressed tar, seekable.
        span: (start, stop) of the sample in bytes.
        extra: JSON values.
        target: File that holds only whole members so far.

    Raises:
        InputError: If the source is damaged or ends before the span does.
    """
    layout = _layout(source, span)
    note = {_NOTE: dict(extra)}
    start, stop = span[0], span[0] + layout.n_whole
    if layout.json is None or layout.content is None:
        suffix = "json" if layout.json is None else f"{_NOTE}.json"
        _copy(source, (start, stop), target)
        write_member(target, layout.first, f"{layout.stem}.{suffix}", json.dumps(note).encode())
        return
    member = layout.json
    _copy(source, (start, start + member.start), target)
    write_member(target, member.info, member.info.name, json.dumps(layout.content | note).encode())
    _copy(source, (start + member.stop, stop), target)


def end_archive(target: IO[bytes]) -> None:
    """Write the end-of-archive mark, padded to a whole record as tar does."""
    target.write(_END_MARK)
    target.write(bytes(-target.tell() % tarfile.RECORDSIZE))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are in one sample; offsets count from its start.

    Attributes:
        first: Header of its first member.
        stem: That member's name without dot and suffix.
        n_whole: Length in bytes of the members that are there in full.
        json: Its json member, if it has one in full.
        content: The object that member holds, or None.
    """

    first: tarfile.TarInfo
    stem: str
    n_whole: int
    json: Member | None
    content: dict[str, Any] | None


def _layout(source: IO[bytes], span: tuple[int, int]) -> _Layout:
    n_bytes = span[1] - span[0]
    stream = TarStream(_Window(source, span), unpack=False)
    first, found, content, n_whole = None, None, None, 0
    for member in _members(stream, n_bytes):
        first = first or member
        if member.stop > n_bytes:
            break
        n_whole = member.stop
        names = split_name(member.info.name)
        if found is None and names is not None and names[1].lower() == "json":
            found, content = member, _object(stream, member)
    if first is None:
        raise InputError(f"no tar member at byte {span[0]}")
    names = split_name(first.info.name)
    stem = first.info.name.removesuffix(f".{names[1]}") if names else first.info.name
    return _Layout(first.info, stem, n_whole, found, content)


def _members(stream: TarStream, n_bytes: int) -> Iterator[Member]:
    try:
        while stream.position < n_bytes and (member := next_member(stream)) is not None:
            yield member
            stream.skip_to(member.stop)
    except TarDamageError as error:
        raise InputError(f"a sample cannot be read again: {error}") from None


def _object(stream: TarStream, member: Member) -> dict[str, Any] | None:
    if member.kind or member.info.size > DEFAULT_READ_LIMITS.json_bytes:
        return None
    try:
        value = json.loads(stream.read(member.info.size).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_member(target: IO[bytes], like: tarfile.TarInfo, name: str, content: bytes) -> None:
    """Append a regular member with times, mode and owner of another, so that bytes repeat.

    Args:
        target: Tar under construction.
        like: Member whose metadata it takes.
        name: Its own name.
        content: Its content.
    """
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mtime, info.mode = like.mtime, like.mode
    info.uid, info.gid, info.uname, info.gname = like.uid, like.gid, like.uname, like.gname
    target.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    target.write(content)
    target.write(bytes(-len(content) % tarfile.BLOCKSIZE))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in spans:
        if start % tarfile.BLOCKSIZE or stop % tarfile.BLOCKSIZE or stop < start:
            raise ValueError(f"({start}, {stop}) is no range of whole tar blocks")
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]  # noqa: PLW2901 - the span grows to the left
        merged.append((start, stop))
    return merged


def _copy(source: IO[bytes], span: tuple[int, int], target: IO[bytes]) -> None:
    window = _Window(source, span)
    while window.n_left:
        piece = window.read(PIECE_BYTES)
        if not piece:
            raise InputError(f"the shard ends {window.n_left:,} bytes before byte {span[1]:,}")
        target.write(piece)


class _Window:
    """One byte range of a file, read from front to back."""

    def __init__(self, source: IO[bytes], span: tuple[int, int]) -> None:
        self.n_left = span[1] - span[0]
        self._source = source
        with _damage_is_input_error():
            source.seek(span[0])

    def read(self, n_bytes: int, /) -> bytes:
        with _damage_is_input_error():
            piece = self._source.read(min(n_bytes, self.n_left))
        self.n_left -= len(piece)
        return piece


class _OwningGzip(gzip.GzipFile):
    """A gzip reader that closes the file beneath it."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()


@contextmanager
def _damage_is_input_error() -> Generator[None]:
    try:
        yield
    except GZIP_ERRORS as error:
        raise InputError(f"the shard's gzip data is damaged: {error}") from None
