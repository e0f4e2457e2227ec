"""A tar's bytes from front to back, unpacked if they are gzip.

Separate from the reader so that a damaged gzip looks like a file that ends early.
"""

import gzip
import io
import zlib
from typing import Protocol

GZIP_MAGIC = b"\x1f\x8b"
PIECE_BYTES = 1 << 20
GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


class Readable(Protocol):
    """What a stream asks of a file; `read1` is used where there is one."""

    def read(self, n_bytes: int, /) -> bytes:
        """Read up to `n_bytes`; b"" only at the end."""
        ...


class TarStream:
    """Forward-only reader that knows its position in the uncompressed tar.

    Args:
        file: Where the bytes come from; never closed.
        unpack: Whether to recognise gzip.

    Attributes:
        position: Bytes of the uncompressed tar read so far.
        damage: Why the compressed data could not be read to its end, or "".
    """

    def __init__(self, file: Readable, *, unpack: bool = True) -> None:
        self.position = 0
        self.damage = ""
        packed = io.BufferedReader(_Forward(file), PIECE_BYTES)
        is_gzip = unpack and packed.peek(2).startswith(GZIP_MAGIC)
        self._file = gzip.GzipFile(fileobj=packed) if is_gzip else packed

    def read(self, n_bytes: int) -> bytes:
        """Read `n_bytes`; fewer only where the data ends.

        Raises:
            OSError: If the file itself cannot be read.
        """
        pieces = []
        while n_bytes > 0 and (piece := self._pull(min(n_bytes, PIECE_BYTES))):
            pieces.append(piece)
            n_bytes -= len(piece)
        return b"".join(pieces)

    def skip_to(self, position: int) -> bool:
        """Read and forget up to `position`; False if the data ends before it.

        Raises:
            OSError: If the file itself cannot be read.
        """
        while self.position < position:
            if not self._pull(min(position - self.position, PIECE_BYTES)):
                return False
        return True

    def _pull(self, n_bytes: int) -> bytes:
        # read1 hands over what was unpacked before the damage; read would lose it.
        try:
            piece = self._file.read1(n_bytes)
        except GZIP_ERRORS as error:
            self.damage = f"gzip data is damaged: {error}"
            return b""
        self.position += len(piece)
        return piece


class _Forward(io.RawIOBase):
    """Any object with `read`, as a raw stream that never seeks or closes it."""

    def __init__(self, file: Readable) -> None:
        self._read = getattr(file, "read1", file.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
