"""The captions of a sample: where they are stored, and what is wrong with them.

Separate from reading, because one tar can be audited against several captions.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unicodedata import category

from ncaudit.errors import ConfigError
from ncaudit.shards.samples import PairText, Sample
from ncaudit.types import Status

CAPTION_FIELDS = ("caption", "text", "title", "alt", "captions")  # any letter case
MAX_CAPTION_CHARS = 100_000
_SHOWN_CAPTION_CHARS = 1000
_MAX_FIELD_CHARS = 2000
_INVISIBLE = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))


def check_source(source: str) -> None:
    """Check the form of a caption source.

    Raises:
        ConfigError: If it is none of `auto`, `txt` and `json:FIELD`.
    """
    if source in ("auto", "txt") or (source.startswith("json:") and source != "json:"):
        return
    raise ConfigError(
        f"unknown caption source {source!r}", hint="Use auto, txt, or json:FIELD (json:caption)."
    )


def pairs_of(sample: Sample, source: str = "auto") -> list[PairText]:
    """Return one entry per caption of a sample, and at least one.

    Rejects: CAPTION_MISSING; CAPTION_EMPTY (nothing visible); CAPTION_NOT_TEXT (not
    UTF-8, or a JSON value that is no string); CAPTION_TOO_LONG (over 100,000 characters;
    the first 1,000 are kept); JSON_INVALID. A rejected sample keeps its captions and
    passes its reject on to each.

    Args:
        sample: A sample of `read_samples`.
        source: `auto` (`.txt` if there is one, else the first of `caption`, `text`,
            `title`, `alt`, `captions` that the `.json` has), `txt`, or `json:FIELD`.
            Field names match in any letter case. A field with null counts as absent;
            a list of strings gives one pair per entry.

    Raises:
        ConfigError: If `source` has an unknown form.
    """
    check_source(source)
    use_txt = source == "txt" or (source == "auto" and "txt" in sample.members)
    if use_txt:
        pairs = [_txt_pair(sample.members.get("txt"))]
    else:
        names = CAPTION_FIELDS if source == "auto" else (source.removeprefix("json:"),)
        pairs = _json_pairs(sample.members.get("json"), names)
    if sample.reject is None:
        return pairs
    return [replace(pair, reject=sample.reject, detail=sample.detail) for pair in pairs]


def sample_fields(sample: Sample) -> dict[str, str]:
    """Return `uid` and `url` where the sample's json has them as strings.

    At most 2,000 characters each; other samples give an empty or smaller dict.
    """
    try:
        content = _json_object(sample.members.get("json", b"{}"))
    except ValueError:
        return {}
    found = {name: _field(content, name) for name in ("uid", "url")}
    return {
        name: _encodable(value[:_MAX_FIELD_CHARS])
        for name, value in found.items()
        if isinstance(value, str)
    }


def _txt_pair(content: bytes | None) -> PairText:
    if content is None:
        return _reject(Status.CAPTION_MISSING, "no .txt")
    try:
        return _pair(0, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return _reject(Status.CAPTION_NOT_TEXT, f".txt is not UTF-8 at byte {error.start}")


def _json_pairs(content: bytes | None, names: tuple[str, ...]) -> list[PairText]:
    if content is None:
        return [_reject(Status.CAPTION_MISSING, "no .json")]
    try:
        values = _json_object(content)
    except ValueError as error:
        return [_reject(Status.JSON_INVALID, str(error))]
    for name in names:
        value = _field(values, name)
        if value is None or value == []:
            continue
        entries = value if isinstance(value, list) else [value]
        return [_pair(index, entry) for index, entry in enumerate(entries)]
    return [_reject(Status.CAPTION_MISSING, f".json has no {' or '.join(map(repr, names))}")]


def _json_object(content: bytes) -> dict[str, Any]:
    """Parse a json member; ValueError, with a line for people, if it is no object."""
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f".json is not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise ValueError(f".json does not parse: {error}") from None
    except RecursionError:
        raise ValueError(".json is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError(".json is not an object")  # noqa: TRY004 - one error for all bad json
    return value


def _field(values: Mapping[str, Any], name: str) -> Any:
    if name in values:
        return values[name]
    same = (value for key, value in values.items() if key.casefold() == name.casefold())
    return next(same, None)


def _pair(index: int, value: object) -> PairText:
    if not isinstance(value, str):
        kind = type(value).__name__
        return _reject(Status.CAPTION_NOT_TEXT, f"the JSON value is a {kind}", index)
    caption = _encodable(value).removeprefix("\ufeff").strip()
    if len(caption) > MAX_CAPTION_CHARS:
        detail = f"{len(caption):,} characters; the limit is {MAX_CAPTION_CHARS:,}"
        shown = caption[:_SHOWN_CAPTION_CHARS]
        return PairText(index, shown, Status.CAPTION_TOO_LONG, detail)
    if caption != value.removeprefix("\ufeff").strip():
        detail = "the JSON string has half a surrogate pair"
        return PairText(index, caption, Status.CAPTION_NOT_TEXT, detail)
    if all(category(character) in _INVISIBLE for character in caption):
        return PairText(index, caption, Status.CAPTION_EMPTY, "nothing visible")
    return PairText(index, caption)


def _reject(status: Status, detail: str, index: int = 0) -> PairText:
    return PairText(index, "", status, detail)


def _encodable(text: str) -> str:
    # JSON can hold half a surrogate pair, which no UTF-8 file can.
    return text.encode("utf-8", "replace").decode("utf-8")
