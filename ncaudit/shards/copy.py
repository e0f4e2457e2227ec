"""Byte ranges of a tar into another tar, verbatim.

The cleaner's hands: members keep their bytes, headers included, and their order.
"""

import gzip
import io
import tarfile
from collections.abc import Iterable
from typing import IO, TypeAlias, cast

from ncaudit.errors import InputError
from ncaudit.files import open_read
from ncaudit.shards.members import TarDamageError, next_member
from ncaudit.shards.stream import GZIP_ERRORS, GZIP_MAGIC, PIECE_BYTES, TarStream

_END_MARK = bytes(2 * tarfile.BLOCKSIZE)
# Larger samples are read piece by piece instead.
_HELD_BYTES = 16 << 20

Span: TypeAlias = tuple[int, int]  # start and stop in bytes of the uncompressed tar


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


def copy_spans(source: IO[bytes], spans: Iterable[Span], target: IO[bytes]) -> None:
    """Append byte ranges of one tar to another, verbatim and in this order.

    Neighbouring ranges are copied as one. Call `end_archive` after the last range.

    Args:
        source: Uncompressed tar, seekable, as `open_tar_bytes` gives it.
        spans: (start, stop) of whole samples, in bytes.
        target: File that holds only whole members so far.

    Raises:
        InputError: If the source is damaged or ends before a span does.
        ValueError: If a span does not start and stop at a tar block, as those of samples
            cut short do not.
    """
    for span in _merged(spans):
        copy_span(source, span, target)


def copy_span(source: IO[bytes], span: Span, target: IO[bytes]) -> None:
    """Append one byte range of a file to another, in pieces.

    Raises:
        InputError: If the source is damaged or ends before the span does.
    """
    window = Window(source, span)
    while window.n_left:
        piece = window.read(PIECE_BYTES)
        if not piece:
            raise InputError(f"the shard ends {window.n_left:,} bytes before byte {span[1]:,}")
        target.write(piece)


def held(source: IO[bytes], span: Span) -> tuple[IO[bytes], Span]:
    """Return a range of a file in memory, unless it is large; and the range within that.

    A sample that is rewritten is read more than once, and going back in gzip is slow.

    Raises:
        InputError: If the source is damaged.
    """
    n_bytes = span[1] - span[0]
    if n_bytes > _HELD_BYTES:
        return source, span
    return io.BytesIO(Window(source, span).read(n_bytes)), (0, n_bytes)


def first_name(source: IO[bytes], span: Span) -> str | None:
    """Return the name of the member that starts a range, or None if none does.

    A plain header is not parsed any further: a shard has one for each sample.

    Raises:
        InputError: If the source is damaged.
    """
    block = Window(source, span).read(tarfile.BLOCKSIZE)
    is_plain = block[156:157] in (b"0", b"\0") and not block[345:500].strip(b"\0")
    if is_plain and block[257:262] == b"ustar":
        return block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    try:
        member = next_member(TarStream(Window(source, span), unpack=False))
    except TarDamageError:
        return None
    return None if member is None else member.info.name


def end_archive(target: IO[bytes]) -> None:
    """Write the end-of-archive mark, padded to a whole record as tar does."""
    target.write(_END_MARK)
    target.write(bytes(-target.tell() % tarfile.RECORDSIZE))


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, stop in spans:
        if start % tarfile.BLOCKSIZE or stop % tarfile.BLOCKSIZE or stop < start:
            raise ValueError(f"({start}, {stop}) is no range of whole tar blocks")
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]  # noqa: PLW2901 - the span grows to the left
        merged.append((start, stop))
    return merged


class Window:
    """One byte range of a file, read from front to back.

    Args:
        source: Seekable file.
        span: (start, stop) in bytes.

    Attributes:
        n_left: Bytes of the range that were not read yet.
    """

    def __init__(self, source: IO[bytes], span: Span) -> None:
        self.n_left = span[1] - span[0]
        self._source = source
        try:
            source.seek(span[0])
        except GZIP_ERRORS as error:
            raise _damaged(error) from None

    def read(self, n_bytes: int, /) -> bytes:
        """Read up to `n_bytes` of what is left; b"" only at the end."""
        try:
            piece = self._source.read(min(n_bytes, self.n_left))
        except GZIP_ERRORS as error:
            raise _damaged(error) from None
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


def _damaged(error: Exception) -> InputError:
    return InputError(f"the shard's gzip data is damaged: {error}")
