"""The one home of files: opening paths and URLs, writing so that a crash leaves no half file."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import fsspec

from ncaudit.errors import InputError

TEMPORARY_MARK = ".tmp-"
_CHUNK_BYTES = 1 << 20


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

    Raises:
        InputError: For `pipe:` URLs.
        OSError: If the file cannot be opened.
    """
    refuse_shell(path)
    if is_url(path):
        file: IO[bytes] = fsspec.open(path, "rb").open()
        return file
    return Path(path).open("rb")


def mask_secrets(path: str) -> str:
    """Return `path` without the user info and query that may carry credentials."""
    if not is_url(path):
        return path
    parts = urlsplit(path)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it into place.

    On an exception the temporary file is removed and `path` is untouched.
    """
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
        for file in temporary.iterdir():
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
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
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
