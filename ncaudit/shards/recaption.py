"""New captions for a sample: some of them leave, some are replaced.

Separate from rewriting the tar, because this is about what `.json` and `.txt` say.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from ncaudit.shards.captions import CAPTION_FIELDS, pairs_of
from ncaudit.shards.rewrite import NOTE
from ncaudit.shards.samples import Sample


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
    values = _values(sample) or {}
    return _with_text(sample, _edit_list(sample, values, dropped, {}, source), values)


def replace_captions(
    sample: Sample,
    dropped: Collection[int],
    replaced: Mapping[int, str],
    note: Mapping[str, Any],
    source: str,
) -> dict[str, bytes]:
    """Return the new members of a sample some of whose captions are replaced.

    The new captions go where `source` has the old ones. A `.txt`, or another caption
    field of the `.json`, that holds a replaced caption gets the new one too, so that no
    reader finds the old one there. The note goes into the `.json`, which is added if
    the sample has none; `.ncaudit.json` is added if it has one that is no object.

    Args:
        sample: A sample that stays.
        dropped: Caption indexes that leave.
        replaced: Caption index to its new caption.
        note: What the `.json` is to say under `ncaudit`; what it said there before moves
            to `before` in it.
        source: Where captions are, as in `pairs_of`.

    Returns:
        Suffix to content, for `rewrite_sample`.

    Raises:
        ValueError: If captions are to leave a sample whose captions are no list.
    """
    values = _values(sample)
    known = values or {}
    before = {"before": known[NOTE]} if NOTE in known else {}
    content: dict[str, bytes] = {}
    if source == "txt" or (source == "auto" and "txt" in sample.members):
        if dropped:
            raise ValueError(f"{sample.key}: a .txt is no list of captions")
        content["txt"] = replaced[0].encode()
        followed = {pairs_of(sample, source)[0].caption: replaced[0]}
    else:
        followed = _edit_list(sample, known, dropped, replaced, source)
        content = _with_text(sample, followed, known)
    same = [name for name in known if name.casefold() in CAPTION_FIELDS]
    known |= {name: followed.get(_stripped(known[name]), known[name]) for name in same}
    suffix = f"{NOTE}.json" if values is None and "json" in sample.members else "json"
    noted = {NOTE: dict(note) | before}
    return content | {suffix: json.dumps(known | noted if suffix == "json" else noted).encode()}


def add_note(sample: Sample, note: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the `.json` that a sample without one gets: the note; nothing for others."""
    return {} if "json" in sample.members else {"json": json.dumps({NOTE: dict(note)}).encode()}


def _edit_list(
    sample: Sample,
    values: dict[str, Any],
    dropped: Collection[int],
    replaced: Mapping[int, str],
    source: str,
) -> dict[str, str]:
    """Change the captions in `values`; returns each caption that went to what follows it."""
    field = _caption_field(values, source)
    entries = values[field]
    if not isinstance(entries, list):
        if dropped:
            raise ValueError(f"{sample.key}: {field!r} is no list of captions")
        values[field] = replaced[0]
    else:
        new = [replaced.get(index, entry) for index, entry in enumerate(entries)]
        values[field] = [entry for index, entry in enumerate(new) if index not in dropped]
        if not values[field]:
            raise ValueError(f"{sample.key}: no caption would stay")
    old = {pair.caption_index: pair.caption for pair in pairs_of(sample, source)}
    stay = [replaced.get(i, caption) for i, caption in old.items() if i not in dropped]
    followed = {old[i]: stay[0] for i in dropped} | {old[i]: new for i, new in replaced.items()}
    return {caption: new for caption, new in followed.items() if caption not in stay}


def _with_text(
    sample: Sample, followed: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, bytes]:
    content = {"json": json.dumps(values).encode()}
    text = sample.members.get("txt", b"").decode("utf-8-sig", "replace").strip()
    if "txt" in sample.members and text in followed:
        content["txt"] = followed[text].encode()
    return content


def _values(sample: Sample) -> dict[str, Any] | None:
    """Return the object in a sample's json; None if there is none, or it is no object."""
    try:
        values = json.loads(sample.members.get("json", b"").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _stripped(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _caption_field(values: Mapping[str, Any], source: str) -> str:
    """Return the key in `values` that `pairs_of` takes the captions from."""
    names = CAPTION_FIELDS if source == "auto" else (source.removeprefix("json:"),)
    for name in names:
        same = (key for key in values if key.casefold() == name.casefold())
        field = name if name in values else next(same, None)
        if field is not None and values[field] not in (None, []):
            return field
    raise ValueError(f"no field {' or '.join(names)}")
