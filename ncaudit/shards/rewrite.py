"""One sample from a tar into another one with some of its members changed.

Separate from verbatim copying, because here members get new content or new names.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from ncaudit.errors import InputError
from ncaudit.shards.copy import Span, Window, copy_span
from ncaudit.shards.members import Member, TarDamageError, next_member
from ncaudit.shards.names import split_name
from ncaudit.shards.read import DEFAULT_READ_LIMITS
from ncaudit.shards.stream import TarStream

NOTE = "ncaudit"  # the key of our object in a sample's json


def annotate_sample(
    source: IO[bytes], span: Span, extra: Mapping[str, Any], target: IO[bytes]
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
    note = {NOTE: dict(extra)}
    start, stop = span[0], span[0] + layout.n_whole
    if layout.json is None or layout.content is None:
        suffix = "json" if layout.json is None else f"{NOTE}.json"
        copy_span(source, (start, stop), target)
        name = f"{_stem(layout.first.name)}.{suffix}"
        write_member(target, layout.first, name, json.dumps(note).encode())
        return
    member = layout.json
    copy_span(source, (start, start + member.start), target)
    write_member(target, member.info, member.info.name, json.dumps(layout.content | note).encode())
    copy_span(source, (start + member.stop, stop), target)


def rewrite_sample(
    source: IO[bytes],
    span: Span,
    content: Mapping[str, bytes],
    target: IO[bytes],
    *,
    key_tag: str = "",
) -> None:
    """Append one whole sample to a tar, with new content for the members of some suffixes.

    The other members are copied verbatim and all keep their order; a rewritten member
    keeps mode, time and owner. Suffixes that the sample does not have are added at its
    end. Call `end_archive` after the last sample.

    Args:
        source: Uncompressed tar, seekable.
        span: (start, stop) of the whole sample in bytes.
        content: Suffix in lower case to new content.
        target: File that holds only whole members so far.
        key_tag: Appended to the key in every name; "" keeps the names.

    Raises:
        InputError: If the source is damaged or ends before the span does.
    """
    n_bytes = span[1] - span[0]
    first: tarfile.TarInfo | None = None
    left = dict(content)
    for member in list(_members(_stream(source, span), n_bytes)):
        first = first or member.info
        names = split_name(member.info.name)
        suffix = names[1].lower() if names else ""
        name = f"{_stem(member.info.name)}{key_tag}.{names[1]}" if names else member.info.name
        if suffix in left:
            write_member(target, member.info, name, left.pop(suffix))
        elif not key_tag or member.kind:
            copy_span(source, (span[0] + member.start, span[0] + member.stop), target)
        else:
            _rename(source, span[0] + member.stop, member.info, name, target)
    if first is None:
        raise InputError(f"no tar member at byte {span[0]}")
    for suffix, added in left.items():
        write_member(target, first, f"{_stem(first.name)}{key_tag}.{suffix}", added)


def write_member(target: IO[bytes], like: tarfile.TarInfo, name: str, content: bytes) -> None:
    """Append a regular member with times, mode and owner of another, so that bytes repeat.

    Args:
        target: Tar under construction.
        like: Member whose metadata it takes.
        name: Its own name.
        content: Its content.
    """
    target.write(_header(like, name, len(content)))
    target.write(content)
    target.write(bytes(-len(content) % tarfile.BLOCKSIZE))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are in one sample; offsets count from its start.

    Attributes:
        first: Header of its first member.
        n_whole: Length in bytes of the members that are there in full.
        json: Its json member, if it has one in full.
        content: The object that member holds, or None.
    """

    first: tarfile.TarInfo
    n_whole: int
    json: Member | None
    content: dict[str, Any] | None


def _layout(source: IO[bytes], span: Span) -> _Layout:
    n_bytes = span[1] - span[0]
    stream = _stream(source, span)
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
    return _Layout(first.info, n_whole, found, content)


class _HeldStream(TarStream):
    """A stream over bytes in memory, which has nothing to fetch when it skips."""

    def __init__(self, content: bytes) -> None:
        self.position = 0
        self.damage = ""
        self._content = content

    def read(self, n_bytes: int) -> bytes:
        piece = self._content[self.position : self.position + n_bytes]
        self.position += len(piece)
        return piece

    def skip_to(self, position: int) -> bool:
        self.position = max(self.position, min(position, len(self._content)))
        return self.position == position


def _stream(source: IO[bytes], span: Span) -> TarStream:
    if isinstance(source, io.BytesIO):
        return _HeldStream(source.getvalue()[slice(*span)])
    return TarStream(Window(source, span), unpack=False)


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


def _stem(name: str) -> str:
    names = split_name(name)
    return name.removesuffix(f".{names[1]}") if names else name


def _rename(
    source: IO[bytes], stop: int, like: tarfile.TarInfo, name: str, target: IO[bytes]
) -> None:
    n_padded = -(-like.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    target.write(_header(like, name, like.size))
    copy_span(source, (stop - n_padded, stop), target)


def _header(like: tarfile.TarInfo, name: str, n_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = n_bytes
    info.mtime, info.mode = like.mtime, like.mode
    info.uid, info.gid, info.uname, info.gname = like.uid, like.gid, like.uname, like.gname
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
