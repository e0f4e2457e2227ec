"""Partial noise: one word of a caption becomes another of its category."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import Pool, plant_noise
from ncaudit.audit.noise.words import exchange_word, exchangeable
from ncaudit.embeddings.cache import caption_id
from ncaudit.errors import InputError
from ncaudit.matching.pairs import Pairs

TEXTS = (
    "A black dog runs on the beach .",
    "Two men play soccer in a park",
    "An orange cat sits on a wooden bench.",
    "Three GIRLS walk down the street",
    "a woman in a red shirt",
    "an elephant near a lake",
    "Seagulls.",
)
OTHERS = exchangeable(TEXTS)


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text)


@settings(deadline=None)
@given(text=st.sampled_from(TEXTS[:-1]), seed=st.integers(0, 200))
def test_exactly_one_word_changes(text: str, seed: int) -> None:
    changed = exchange_word(text, OTHERS, np.random.default_rng(seed))
    if changed is None:
        assert text == "an elephant near a lake" or not any(
            w.lower() in OTHERS for w in words(text)
        )
        return
    pairs = [(a, b) for a, b in zip(words(text), words(changed), strict=True) if a != b]
    assert len(pairs) == 1
    old, new = pairs[0]
    assert new.lower() in OTHERS[old.lower()]
    assert re.sub(r"[A-Za-z]+", "", changed) == re.sub(r"[A-Za-z]+", "", text)
    assert (old[0].lower() in "aeiou") == (new[0].lower() in "aeiou")
    assert old[0].isupper() == new[0].isupper()


def test_a_new_word_occurs_in_the_captions() -> None:
    present = {word.lower() for text in TEXTS for word in words(text)}
    assert {new for choices in OTHERS.values() for new in choices} <= present
    assert "black" in OTHERS["red"]
    assert "blue" not in OTHERS["red"]


def test_a_caption_without_a_listed_word_cannot_be_changed() -> None:
    assert exchange_word("Seagulls.", OTHERS, np.random.default_rng(0)) is None


def encode(texts: Sequence[str]) -> np.ndarray:
    return np.array([[len(text), 1.0] for text in texts], np.float32)


def pool_of(texts: Sequence[str]) -> Pool:
    n = len(texts)
    ids = np.array([caption_id(text) for text in texts], np.uint64)
    pairs = Pairs(np.zeros((n, 3), np.float16), encode(texts), np.arange(n, dtype=np.uint64), ids)
    return Pool(pairs, tuple(texts))


def test_changed_captions_are_embedded_anew_and_the_others_are_not() -> None:
    texts = [f"a {colour} dog {number}" for number in range(50) for colour in ("red", "black")]
    noisy = plant_noise(pool_of(texts), NoiseKind.PARTIAL, 0.4, seed=0, encode=encode)
    assert noisy.is_mismatch.sum() == 40
    for row, wrong in enumerate(noisy.is_mismatch):
        other = texts[row].replace("red", "?").replace("black", "red").replace("?", "black")
        now = other if wrong else texts[row]
        assert noisy.pairs.caption_id[row] == caption_id(now)
        assert (noisy.pairs.caption[row] == encode([now])[0]).all()


def test_a_changed_caption_that_is_true_of_the_image_is_not_taken() -> None:
    one_image = Pool(
        pairs=Pairs(
            np.zeros((2, 3), np.float16),
            encode(["a red dog", "a black dog"]),
            np.zeros(2, np.uint64),
            np.array([caption_id("a red dog"), caption_id("a black dog")], np.uint64),
        ),
        captions=("a red dog", "a black dog"),
    )
    with pytest.raises(InputError, match="no partial noise"):
        plant_noise(one_image, NoiseKind.PARTIAL, 0.5, seed=0, encode=encode)


def test_texts_without_listed_words_leave_nothing_to_exchange() -> None:
    pool = pool_of([f"Bild {number}" for number in range(30)])
    with pytest.raises(InputError, match="no partial noise could be planted"):
        plant_noise(pool, NoiseKind.PARTIAL, 0.4, seed=0, encode=encode)
