"""Kinds of pairs that a threshold may hit harder than others: by shard, caption, image, source.

Labels only; counting is elsewhere. Columns in, one label per row out.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

COLUMNS = ("shard", "caption", "url", "image_width", "image_height")
_CAPTION_EDGES = (20, 40, 80, 160, 320)
_SIDE_EDGES = (128, 224, 384, 768)
_DOMAIN = r"^(?i:https?)://(?:[^/?#@]*@)?(?i:www\.)?(?P<domain>[^/:?#]+)"
_N_SCRIPT_CHARS = 200  # of a caption are looked at
# Unicode's character names start with the script, with these exceptions.
_SCRIPTS = {
    "CJK": "Han",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "FULLWIDTH": "Latin",
    "HALFWIDTH": "Japanese",
    "MICRO": "Latin",
    "FEMININE": "Latin",
    "MASCULINE": "Latin",
}


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way to divide pairs.

    Attributes:
        title: Heading of the table.
        labels: From a table with COLUMNS to one label per row; null means "in no group".
        order: Labels in the order shown, or () for the most frequent first.
    """

    title: str
    labels: Callable[[Any], Any]
    order: tuple[str, ...] = ()


def script_of(text: str) -> str:
    """Return the script most letters of `text` are written in, or `no letters`.

    Kana decide for Japanese even where most characters are Han.
    """
    found = Counter(filter(None, map(_script, text[:_N_SCRIPT_CHARS])))
    if found["Japanese"]:
        return "Japanese"
    return max(found, key=lambda name: (found[name], name)) if found else "no letters"


@lru_cache(maxsize=65_536)
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    word = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _SCRIPTS.get(word, word.capitalize())


def _shards(table: Any) -> Any:
    return table["shard"]


def _caption_lengths(table: Any) -> Any:
    import pyarrow.compute as pc

    return _between(pc.utf8_length(table["caption"]), _CAPTION_EDGES, _CAPTION_NAMES)


def _scripts(table: Any) -> Any:
    import pyarrow as pa

    # ASCII, which is most of most data sets, is told apart without a loop over letters.
    return pa.array(
        [
            None
            if caption is None
            else "Latin"
            if caption.isascii() and any(map(str.isalpha, caption[:_N_SCRIPT_CHARS]))
            else script_of(caption)
            for caption in table["caption"].to_pylist()
        ],
        pa.string(),
    )


def _shortest_sides(table: Any) -> Any:
    import pyarrow.compute as pc

    side = pc.min_element_wise(table["image_width"], table["image_height"], skip_nulls=False)
    return _between(side, _SIDE_EDGES, _SIDE_NAMES)


def _domains(table: Any) -> Any:
    import pyarrow.compute as pc

    found = pc.struct_field(pc.extract_regex(table["url"], _DOMAIN), "domain")
    return pc.utf8_lower(found)


def _between(values: Any, edges: tuple[int, ...], names: tuple[str, ...]) -> Any:
    """Name the interval each value is in; edges belong to the interval above them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    conditions = [pc.less(values, edge) for edge in edges]
    keys = pc.make_struct(
        *(pc.fill_null(condition, fill_value=False) for condition in conditions),
        field_names=[str(edge) for edge in edges],
    )
    named = pc.case_when(keys, *names)
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.string()), named)


def _names(edges: tuple[int, ...], unit: str) -> tuple[str, ...]:
    inner = (f"{low} to {high - 1} {unit}" for low, high in pairwise(edges))
    return (f"under {edges[0]} {unit}", *inner, f"{edges[-1]} {unit} or more")


_CAPTION_NAMES = _names(_CAPTION_EDGES, "characters")
_SIDE_NAMES = _names(_SIDE_EDGES, "px")

GROUPINGS = (
    Grouping("Shard", _shards),
    Grouping("Caption length", _caption_lengths, _CAPTION_NAMES),
    Grouping("Script of the caption", _scripts),
    Grouping("Shortest side of the image", _shortest_sides, _SIDE_NAMES),
    Grouping("Source domain", _domains),
)
