"""Exchanging one word of a caption for another of the same small category.

A plain approach: word lists, no grammar. A word is exchanged for one of its list that
occurs in the captions themselves, in proportion to how often it does, so that the new
word is no rarer than others; and for one that begins with a vowel only if the old one
does, so that `a` and `an` stay right.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

_CATEGORIES = (
    "red blue yellow green white orange purple pink black brown grey gray golden silver beige tan",
    "two three four five six seven eight nine ten",
    "man woman boy girl baby toddler lady guy",
    "men women boys girls babies toddlers ladies guys",
    "dog cat horse cow sheep bird elephant goat duck pig rabbit bear monkey fish lion tiger",
    "dogs cats horses cows birds elephants goats ducks pigs rabbits bears monkeys lions tigers",
    "car bus truck train boat bike bicycle motorcycle airplane plane scooter van canoe kayak ship",
    "cars buses trucks trains boats bikes bicycles motorcycles planes scooters ships",
    "ball frisbee stick rope toy guitar camera umbrella book phone bottle kite balloon bag sled",
    "shirt jacket coat sweater dress suit hat cap helmet uniform outfit skirt costume apron",
    "beach street park forest field lake river ocean pool mountain desert city playground yard",
    "snow grass sand mud water ice dirt gravel",
    "soccer football tennis basketball baseball hockey volleyball rugby golf",
    "big small large little tiny huge",
    "young old elderly adult",
    "tall short long high low",
    "bright dark wet dry",
    "table chair bench couch bed sofa desk",
    "wooden metal plastic stone concrete brick",
    "running walking jumping sitting standing sleeping swimming climbing dancing eating",
    "runs walks jumps sits stands sleeps swims climbs dances eats",
    "indoors outdoors",
    "summer winter spring autumn",
    "left right",
    "morning evening night day sunset",
    "apple orange banana pizza cake bread sandwich salad",
    "circle square triangle star",
)
_WORD = re.compile(r"[A-Za-z]+")


def exchangeable(captions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for each word of the captions what it may become; words without any are left out.

    Words are lower case; a word may be there several times, as often as captions have it.
    """
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(set(_words(caption)))
    found: dict[str, tuple[str, ...]] = {}
    for word in counts:
        others = [other for other in _companions().get(word, ()) if counts[other]]
        if others:
            found[word] = tuple(other for other in others for _ in range(counts[other]))
    return found


def exchange_word(
    caption: str, others: dict[str, tuple[str, ...]], rng: np.random.Generator
) -> str | None:
    """Return the caption with exactly one word exchanged, or None if it has none to exchange.

    Args:
        caption: Any text.
        others: What `exchangeable` returned.
        rng: Decides which word, and for what.
    """
    own = set(_words(caption))
    places = [match for match in _WORD.finditer(caption) if match.group().lower() in others]
    for at in rng.permutation(len(places)):
        start, end = places[at].span()
        old = caption[start:end]
        choices = [word for word in others[old.lower()] if word not in own]
        if choices:
            new = choices[rng.integers(len(choices))]
            return caption[:start] + _in_case_of(old, new) + caption[end:]
    return None


def _words(caption: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(caption)]


def _in_case_of(old: str, new: str) -> str:
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new.capitalize() if old[0].isupper() else new


@cache
def _companions() -> dict[str, tuple[str, ...]]:
    """Return for each listed word the others of its category that begin like it."""
    found: dict[str, tuple[str, ...]] = {}
    for category in _CATEGORIES:
        words = category.split()
        for word in words:
            same = (other for other in words if other != word and _vowel(other) == _vowel(word))
            found[word] = found.get(word, ()) + tuple(same)
    return found


def _vowel(word: str) -> bool:
    return word[0] in "aeiou"
