"""Captions out of a sample while it is copied from one tar to another.

Separate from verbatim copying, because here two members, `.json` and `.txt`, get new content.
"""

import json
from collections.abc import Collection, Mapping
from typing import IO, Any

from ncaudit.errors import InputError
from ncaudit.shards.captions import CAPTION_FIELDS, pairs_of
from ncaudit.shards.copy import write_member
from ncaudit.shards.members import Member, TarDamageError, next_member
from ncaudit.shards.names import split_name
from ncaudit.shards.samples import Sample
from ncaudit.shards.stream import PIECE_BYTES, TarStream


def drop_captions(sample: Sample, dropped: Collection[int], source: str) -> dict[str, bytes]:
    """Return the new `.json`, and `.txt` if it changes, of a sample that loses captions.

    The list field that `source` names loses the entries. A `.txt` that holds a dropped
    caption, and none of the kept ones, gets the first kept caption.

    Args:
        sample: A sample with several captions.
        dropped: Caption indexes that leave; at least one stays.
        source: Where captions are, as in `pairs_of`.

    Raises:
        ValueError: If the sample's captions are no list, or all of them would leave.
    """
    values: dict[str, Any] = json.loads(sample.members["json"].decode("utf-8-sig"))
    field = _caption_field(values, source)
    entries = values[field]
    if not isinstance(entries, list):
        raise ValueError(f"{sample.key}: {field!r} is no list of captions")  # noqa: TRY004
    kept = [entry for index, entry in enumerate(entries) if index not in dropped]
    if not kept:
        raise ValueError(f"{sample.key}: no caption would stay")
    content = {"json": json.dumps(values | {field: kept}).encode()}
    pairs = pairs_of(sample, source)
    stay = [pair.caption for pair in pairs if pair.caption_index not in dropped]
    leave = {pair.caption for pair in pairs if pair.caption_index in dropped}
    text = sample.members.get("txt", b"").decode("utf-8-sig", "replace").strip()
    if text in leave.difference(stay) and "txt" in sample.members:
        content["txt"] = stay[0].encode()
    return content


def rewrite_members(
    source: IO[bytes], span: tuple[int, int], content: Mapping[str, bytes], target: IO[bytes]
) -> None:
    """Append one sample to a tar, with new content for the members of some suffixes.

    The other members are copied verbatim and all keep their order; a rewritten member
    keeps name, mode, time and owner. Call `end_archive` after the last sample.

    Args:
        source: Uncompressed tar, seekable.
        span: (start, stop) of the whole sample in bytes.
        content: Suffix in lower case to new content; none for a verbatim copy.
        target: File that holds only whole members so far.

    Raises:
        InputError: If the source is damaged or ends before the span does.
    """
    if not content:
        _copy(source, *span, target)
        return
    for member in _members(source, span):
        names = split_name(member.info.name)
        suffix = names[1].lower() if names else ""
        if suffix in content:
            write_member(target, member.info, member.info.name, content[suffix])
        else:
            _copy(source, span[0] + member.start, span[0] + member.stop, target)


def _caption_field(values: Mapping[str, Any], source: str) -> str:
    """Return the key in `values` that `pairs_of` takes the captions from."""
    names = CAPTION_FIELDS if source == "auto" else (source.removeprefix("json:"),)
    for name in names:
        same = (key for key in values if key.casefold() == name.casefold())
        field = name if name in values else next(same, None)
        if field is not None and values[field] not in (None, []):
            return field
    raise ValueError(f"no field {' or '.join(names)}")


def _members(source: IO[bytes], span: tuple[int, int]) -> list[Member]:
    source.seek(span[0])
    stream = TarStream(source, unpack=False)
    members = []
    try:
        while stream.position < span[1] - span[0]:
            member = next_member(stream)
            if member is None or not stream.skip_to(member.stop):
                raise InputError(f"the shard ends before byte {span[1]:,}")
            members.append(member)
    except TarDamageError as error:
        raise InputError(f"a sample cannot be read again: {error}") from None
    return members


def _copy(source: IO[bytes], start: int, stop: int, target: IO[bytes]) -> None:
    source.seek(start)
    n_left = stop - start
    while n_left:
        piece = source.read(min(n_left, PIECE_BYTES))
        if not piece:
            raise InputError(f"the shard ends {n_left:,} bytes before byte {stop:,}")
        target.write(piece)
        n_left -= len(piece)
