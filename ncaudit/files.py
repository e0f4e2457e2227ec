"""The one home of files: opening paths and URLs, writing so that a crash leaves no half file."""

import errno
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import fsspec

from ncaudit.errors import InputError, OutputExistsError

TEMPORARY_MARK = ".tmp-"
_CHUNK_BYTES = 1 << 20
_RETRY_WAITS_S = (1.0, 4.0)
_FINAL_ERRORS: dict[type[OSError], int] = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
}
T = TypeVar("T")


def is_url(path: str) -> bool:
    """Tell a URL (`s3://bucket/x.tar`) from a local path."""
    return "://" in path


def refuse_shell(path: str) -> None:
    """Refuse `pipe:` URLs, which WebDataset would hand to a shell.

    Raises:
        InputError: If `path` starts with `pipe:`.
    """
    if path.strip().lower().startswith("pipe:"):
        raise InputError(
            f"{path!r} would run a shell command", hint="Name the shards by path or by URL."
        )


def open_read(path: str) -> IO[bytes]:
    """Open a local path or an fsspec URL for reading bytes.

    What fails at a URL is tried again, see `RemoteFile`.

    Raises:
        InputError: For `pipe:` URLs.
        OSError: If the file cannot be opened.
    """
    refuse_shell(path)
    if is_url(path):
        return io.BufferedReader(RemoteFile(path), _CHUNK_BYTES)
    return Path(path).open("rb")


class RemoteFile(io.RawIOBase):
    """A file behind an fsspec URL whose reads outlive a short failure of the network.

    When opening or reading fails, the URL is opened again where reading was, after a
    second and after four more. What says that the file is not there or not ours to read is
    not tried again. fsspec leaves such retries to each file system, and most have none.

    Args:
        url: fsspec URL.

    Raises:
        OSError: If it cannot be opened or read; the message holds no secrets of the URL.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._position = 0
        self._file: Any = None
        self._retried(lambda: None)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True; where a server cannot seek, what comes before is read and forgotten."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the length of `buffer`."""
        data = self._retried(lambda: self._file.read(len(buffer)))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset; from the end only where the file system knows the size."""
        if whence == os.SEEK_END:
            self._position = self._retried(lambda: self._file.seek(offset, os.SEEK_END))
            return self._position
        self._position = offset + (self._position if whence == os.SEEK_CUR else 0)
        self._retried(lambda: _move(self._file, self._position))
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def close(self) -> None:
        """Close the file behind it."""
        if self._file is not None:
            self._file.close()
        super().close()

    def _retried(self, act: Callable[[], T]) -> T:
        waits_s = iter(_RETRY_WAITS_S)
        while True:
            try:
                if self._file is None:
                    self._file = fsspec.open(self._url, "rb").open()
                    _move(self._file, self._position)
                return act()
            except (ImportError, ValueError):
                raise
            except Exception as error:  # noqa: BLE001 - file systems raise what they like
                self._file = None
                wait_s = next(waits_s, None)
                if wait_s is None or isinstance(error, (*_FINAL_ERRORS,)):
                    raise _without_secrets(error) from None
            time.sleep(wait_s)


def _move(file: Any, position: int) -> None:
    if file.tell() == position:
        return
    try:
        file.seek(position)
    except (OSError, ValueError, NotImplementedError):
        if file.tell() > position:
            raise
        while (left := position - file.tell()) > 0 and file.read(min(left, _CHUNK_BYTES)):
            pass


def _without_secrets(error: Exception) -> OSError:
    """Return an error of the same meaning without the URL that may be in its text."""
    for kind, number in _FINAL_ERRORS.items():
        if isinstance(error, kind):
            return kind(number, os.strerror(number))
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, os.strerror(error.errno))
    status = getattr(error, "status", "")
    return OSError(errno.EIO, f"{type(error).__name__} {status}".rstrip())


def mask_secrets(path: str) -> str:
    """Return `path` without the user info and query that may carry credentials."""
    if not is_url(path):
        return path
    try:
        parts = urlsplit(path)
    except ValueError:  # no URL after all; what may be secret in it cannot be told
        return f"{path.partition('://')[0]}://..."
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it into place.

    On an exception the temporary file is removed and `path` is untouched.

    Raises:
        OutputExistsError: If something is at `path` that is no file: a folder, or a device,
            which would be replaced for everybody.
    """
    if path.exists() and not path.is_file():
        raise OutputExistsError(f"{path} is there and is no file", hint="Name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_MARK}{os.getpid()}-{path.name}")
    try:
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Generator[Path]:
    """Yield a new temporary folder beside `path`; on success rename it into place.

    A folder already at `path` is replaced as a whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_MARK}{os.getpid()}-{path.name}")
    remove_tree(temporary)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _fsync(file)
        remove_tree(path)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        remove_tree(temporary)


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary path and rename the result to `path`."""
    with atomic_path(path) as temporary:
        write(temporary)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with a stable key order; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, its line ends as they are."""
    write_atomic(path, lambda temporary: _write_text(temporary, text))


def read_json(path: Path) -> Any:
    """Read a JSON file that ncaudit wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def digest_bytes(*chunks: bytes) -> str:
    """Return the sha256 of the joined chunks as hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def digest_json(value: object) -> str:
    """Return the sha256 of a value's canonical JSON as hex."""
    return digest_bytes(json.dumps(value, sort_keys=True, allow_nan=False).encode())


def digest_file(path: str) -> str:
    """Return the sha256 of a file's content as hex; reads it once, in pieces."""
    digest = hashlib.sha256()
    with open_read(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def remove_tree(path: Path) -> None:
    """Delete a folder of ours and all in it; nothing happens if it is not there."""
    if path.exists():
        shutil.rmtree(path)


def remove_temporaries(folders: Iterable[Path]) -> None:
    """Delete what a killed run left half written directly in `folders`."""
    for folder in folders:
        for left in folder.glob(f"{TEMPORARY_MARK}*") if folder.is_dir() else ():
            remove_tree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
