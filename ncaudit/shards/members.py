"""The members of a tar, one header after the other, with their byte ranges.

`tarfile.TarFile` is not used for reading: it takes a corrupt header for the end of the
archive, and a small hostile pax header makes it work and allocate quadratically.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from ncaudit.shards.stream import PIECE_BYTES, TarStream
from ncaudit.types import Status

MAX_EXTENSION_BYTES = 1 << 20
_MAX_MEMBER_BYTES = 1 << 60  # a pax header can name a size of thousands of digits
_BLOCK = tarfile.BLOCKSIZE
_PAX_LOCAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENSIONS = (*_PAX_LOCAL, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_KINDS = {
    tarfile.REGTYPE: "",
    tarfile.AREGTYPE: "",
    tarfile.CONTTYPE: "",
    tarfile.DIRTYPE: "folder",
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "pipe",
    tarfile.GNUTYPE_SPARSE: "sparse file",
}


class TarDamageError(Exception):
    """The tar cannot be read any further.

    Attributes:
        status: SHARD_UNREADABLE if nothing could be read, else SHARD_TRUNCATED.
    """

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a tar.

    Attributes:
        info: Header with the full name and the content's size in bytes.
        kind: "" for a plain file, otherwise what it is instead.
        start: Offset in bytes of its first header in the uncompressed tar.
        stop: Offset just after its padded content.
    """

    info: tarfile.TarInfo
    kind: str
    start: int
    stop: int


@dataclass(slots=True)
class _Extension:
    """What extended headers say about the member after them."""

    name: str = ""
    n_bytes: int | None = None
    sparse: bool = False


def read_members(stream: TarStream) -> Iterator[Member]:
    """Yield the members in order; the stream then stands at the member's content.

    The caller may read the content or leave it. Reading stops at the end-of-archive
    mark, as in WebDataset; bytes after it that are not zero are reported.

    Raises:
        TarDamageError: If the tar is cut, corrupt, or not a tar.
        OSError: If the file itself cannot be read.
    """
    while (member := next_member(stream)) is not None:
        yield member
        if not stream.skip_to(member.stop):
            raise _damage(stream, f"cut at byte {stream.position}")
    _check_rest(stream)


def next_member(stream: TarStream) -> Member | None:
    """Read one member's headers, or None at the end-of-archive mark.

    The stream must stand where the member before ends.

    Raises:
        TarDamageError: If the header is cut or corrupt.
        OSError: If the file itself cannot be read.
    """
    start = stream.position
    extension = _Extension()
    while (header := _read_header(stream)) is not None:
        if header.type not in _EXTENSIONS:
            return _member(stream, header, extension, start)
        _extend(extension, header, _read_extension(stream, header), stream)
    if stream.position - start > _BLOCK:
        raise _damage(stream, f"an extended header without its member at byte {start}")
    return None


def _read_header(stream: TarStream) -> tarfile.TarInfo | None:
    start = stream.position
    block = stream.read(_BLOCK)
    if not block:
        why = f"no end-of-archive mark at byte {start}" if start else "empty file"
        raise _damage(stream, why)
    if len(block) < _BLOCK:
        raise _damage(stream, f"header cut at byte {stream.position}", first=start == 0)
    if not block.strip(b"\0"):
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        what = "not a tar" if start == 0 else f"corrupt header at byte {start}"
        raise _damage(stream, f"{what}: {error}", first=start == 0) from None
    if header.type == tarfile.GNUTYPE_SPARSE:
        _skip_sparse_map(stream, block)
    return header


def _skip_sparse_map(stream: TarStream, block: bytes) -> None:
    # Old GNU sparse: byte 482 of the header, then byte 504 of each block, says "one more".
    extended = block[482]
    while extended and (block := stream.read(_BLOCK)):
        extended = block[504] if len(block) == _BLOCK else 0


def _read_extension(stream: TarStream, header: tarfile.TarInfo) -> bytes:
    if not 0 <= header.size <= MAX_EXTENSION_BYTES:
        raise _damage(stream, f"extended header of {header.size} bytes at byte {stream.position}")
    content = stream.read(header.size)
    if not stream.skip_to(stream.position + -len(content) % _BLOCK) or len(content) < header.size:
        raise _damage(stream, f"extended header cut at byte {stream.position}")
    return content


def _extend(
    extension: _Extension, header: tarfile.TarInfo, content: bytes, stream: TarStream
) -> None:
    if header.type == tarfile.GNUTYPE_LONGNAME:
        extension.name = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if header.type not in _PAX_LOCAL:
        return
    try:
        fields = _pax_fields(content)
        if b"size" in fields:
            extension.n_bytes = int(fields[b"size"])
    except ValueError:
        raise _damage(stream, f"corrupt pax header before byte {stream.position}") from None
    if b"path" in fields:
        extension.name = fields[b"path"].decode("utf-8", "surrogateescape")
    extension.sparse |= any(name.startswith(b"GNU.sparse.") for name in fields)


def _pax_fields(content: bytes) -> dict[bytes, bytes]:
    """Parse `LENGTH NAME=VALUE` records, each ending in a newline; raises ValueError."""
    fields = {}
    end = len(content.rstrip(b"\0"))
    start = 0
    while start < end:
        digits = content[start : start + 20].partition(b" ")[0]
        stop = start + int(digits)
        name, equals, value = content[start + len(digits) + 1 : stop].partition(b"=")
        if not equals or not value.endswith(b"\n") or not start < stop <= end:
            raise ValueError("bad pax record")
        fields[name] = value[:-1]
        start = stop
    return fields


def _member(
    stream: TarStream, header: tarfile.TarInfo, extension: _Extension, start: int
) -> Member:
    header.name = extension.name or header.name
    header.size = header.size if extension.n_bytes is None else extension.n_bytes
    if not 0 <= header.size <= _MAX_MEMBER_BYTES:
        raise _damage(stream, f"a member of impossible size at byte {start}")
    # As tarfile does: links, folders and devices have no content whatever their size says.
    has_content = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
    n_padded = -(-header.size // _BLOCK) * _BLOCK if has_content else 0
    kind = "sparse file" if extension.sparse else _KINDS.get(header.type, "special file")
    return Member(header, kind, start, stream.position + n_padded)


def _check_rest(stream: TarStream) -> None:
    while rest := stream.read(PIECE_BYTES):
        if rest.strip(b"\0"):
            where = stream.position - len(rest)
            raise _damage(stream, f"data after the end-of-archive mark, near byte {where}")
    if stream.damage:
        raise _damage(stream, f"damaged after byte {stream.position}")


def _damage(stream: TarStream, detail: str, *, first: bool = False) -> TarDamageError:
    unreadable = first or stream.position == 0
    status = Status.SHARD_UNREADABLE if unreadable else Status.SHARD_TRUNCATED
    return TarDamageError(status, f"{detail} ({stream.damage})" if stream.damage else detail)
