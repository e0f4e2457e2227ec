"""The bytes of one shard on their way to the tar reader: digested, counted, errors told apart.

Separate from embedding, because an `OSError` of the input must not look like one of the
output: a shard that cannot be read is reported, a full disk ends the run.
"""

import hashlib
from collections.abc import Callable
from typing import IO

from ncaudit.files import mask_secrets, open_read


class ShardReadError(Exception):
    """The shard cannot be opened, or reading it broke off; trying again may help."""


def open_shard(path: str) -> IO[bytes]:
    """Open a shard for reading.

    Raises:
        ShardReadError: If it cannot be opened.
    """
    try:
        return open_read(path)
    except OSError as error:
        raise _read_error(path, error) from error


class ShardSource:
    """A reader that digests what passes through it.

    Args:
        file: Where the bytes come from.
        path: Its path, for messages.
        on_bytes: Called by `report` and `finish` with the number of bytes read since the
            last call, on the thread of the caller.
    """

    def __init__(
        self, file: IO[bytes], path: str, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        self._file = file
        self._path = path
        self._on_bytes = on_bytes
        self._digest = hashlib.sha256()
        self._n_read = self._n_reported = 0

    def read(self, size: int = -1) -> bytes:
        """Read like a file.

        Raises:
            ShardReadError: If the file cannot be read.
        """
        try:
            data = self._file.read(size)
        except OSError as error:
            raise _read_error(self._path, error) from error
        self._digest.update(data)
        self._n_read += len(data)
        return data

    def report(self) -> None:
        """Tell how many bytes were read since this was last told."""
        n_bytes = self._n_read - self._n_reported
        self._n_reported += n_bytes
        if self._on_bytes and n_bytes:
            self._on_bytes(n_bytes)

    def finish(self) -> str:
        """Digest what the tar reader did not need, and return the sha256."""
        while self.read(1 << 20):
            pass
        self.report()
        return self._digest.hexdigest()


def _read_error(path: str, error: OSError) -> ShardReadError:
    # The text of an OSError may have the whole path in it, with its secrets.
    return ShardReadError(f"{mask_secrets(path)}: {error.strerror or type(error).__name__}")
