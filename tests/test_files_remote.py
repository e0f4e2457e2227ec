"""Files behind URLs: reads that fail are tried again, and no secret is told."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ncaudit import files
from ncaudit.files import open_read

CONTENT = bytes(range(256)) * 40


class Flaky(io.BytesIO):
    """Fails at the reads that are listed, counted over all files."""

    failing: list[Exception | None]
    can_seek = True

    def read(self, size: int | None = -1, /) -> bytes:
        if Flaky.failing and (error := Flaky.failing.pop(0)):
            raise error
        return super().read(min(size or 0, 1000))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if not Flaky.can_seek:
            raise ValueError("cannot seek")
        return super().seek(offset, whence)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(files, "_RETRY_WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(MemoryFileSystem, "_open", lambda *_, **__: Flaky(CONTENT))
    Flaky.failing, Flaky.can_seek = [], True
    return "memory://flaky.bin"


@pytest.mark.parametrize("can_seek", [True, False])
def test_a_read_that_fails_goes_on_where_it_was(url: str, can_seek: bool) -> None:
    Flaky.can_seek = can_seek
    Flaky.failing = [None, OSError("reset"), None, None, RuntimeError("closed"), TimeoutError()]
    with open_read(url) as file:
        assert file.read() == CONTENT


def test_three_failures_in_a_row_are_an_os_error_without_the_url(url: str) -> None:
    Flaky.failing = [RuntimeError("at https://u:pw@host?token=1")] * 3
    with open_read(url) as file, pytest.raises(OSError, match="RuntimeError") as caught:
        file.read()
    assert caught.value.errno == errno.EIO
    assert "token" not in str(caught.value)


@pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x")])
def test_what_is_not_there_or_not_ours_is_not_tried_again(url: str, error: OSError) -> None:
    Flaky.failing = [error]
    with open_read(url) as file, pytest.raises(type(error)):
        file.read()
    assert Flaky.failing == []


def test_a_remote_file_can_be_sought(url: str) -> None:
    with open_read(url) as file:
        file.seek(5000)
        assert (file.read(3), file.tell()) == (CONTENT[5000:5003], 5003)
        file.seek(-2, os.SEEK_CUR)
        assert file.read(2) == CONTENT[5001:5003]
        file.seek(-4, os.SEEK_END)
        assert file.read() == CONTENT[-4:]
        file.seek(1)
        assert file.read(2) == CONTENT[1:3]


def test_what_is_missing_cannot_be_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(url)

    monkeypatch.setattr(MemoryFileSystem, "_open", missing)
    with pytest.raises(FileNotFoundError) as caught:
        open_read(url)
    assert caught.value.errno == errno.ENOENT


def test_local_files_are_opened_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with open_read(str(tmp_path / "a")) as file:
        assert file.read() == b"x"
