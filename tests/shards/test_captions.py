import json
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from ncaudit.errors import ConfigError
from ncaudit.shards.captions import check_source, pairs_of, sample_fields
from ncaudit.shards.samples import PairText, Sample
from ncaudit.types import Status
from tests.support.shards import json_bytes


def sample(reject: Status | None = None, **members: bytes) -> Sample:
    return Sample(0, "a", members, 0, 512, reject, "why" if reject else "")


def captions(value: Any, source: str = "auto") -> list[tuple[str, Status | None]]:
    pairs = pairs_of(sample(json=json_bytes(value)), source)
    assert [pair.caption_index for pair in pairs] == list(range(len(pairs)))
    return [(pair.caption, pair.reject) for pair in pairs]


def txt(content: bytes) -> tuple[str, Status | None]:
    (pair,) = pairs_of(sample(txt=content))
    return pair.caption, pair.reject


def test_the_txt_is_taken_before_the_json() -> None:
    both = sample(txt=b"from txt", json=json_bytes({"caption": "from json"}))
    assert pairs_of(both) == [PairText(0, "from txt")]
    assert pairs_of(both, "json:caption") == [PairText(0, "from json")]


def test_white_space_around_and_a_byte_order_mark_are_removed() -> None:
    assert txt(b"\xef\xbb\xbf \n a dog\t\n") == ("a dog", None)
    assert captions({"caption": "\ufeff a dog "}) == [("a dog", None)]


@pytest.mark.parametrize("name", ["caption", "TEXT", "text", "Title", "alt"])
def test_the_usual_json_fields_are_found_in_any_letter_case(name: str) -> None:
    assert captions({"url": "x", name: "a dog"}) == [("a dog", None)]


def test_json_fields_have_an_order() -> None:
    fields = {"captions": ["5"], "alt": "4", "title": "3", "TEXT": "2", "caption": "1"}
    assert captions(fields) == [("1", None)]
    assert captions({"captions": ["5"], "alt": "4"}) == [("4", None)]


def test_a_list_gives_one_pair_per_entry() -> None:
    assert captions({"captions": ["a", "b"]}) == [("a", None), ("b", None)]
    assert captions({"raw": ["a", "b"]}, "json:raw") == [("a", None), ("b", None)]


def test_an_entry_that_is_no_text_is_rejected_alone() -> None:
    assert captions({"captions": ["a", 7, " "]}) == [
        ("a", None),
        ("", Status.CAPTION_NOT_TEXT),
        ("", Status.CAPTION_EMPTY),
    ]


def test_null_and_the_empty_list_count_as_absent() -> None:
    assert captions({"caption": None, "alt": "a"}) == [("a", None)]
    assert captions({"captions": []}) == [("", Status.CAPTION_MISSING)]


@pytest.mark.parametrize("members", [{}, {"json": b"{}"}, {"json": b'{"url": "x"}'}])
def test_no_caption_anywhere_is_missing(members: dict[str, bytes]) -> None:
    (pair,) = pairs_of(sample(**members))
    assert (pair.caption, pair.reject) == ("", Status.CAPTION_MISSING)
    assert pair.detail


def test_a_named_source_is_not_replaced_by_another() -> None:
    assert captions({"caption": "a"}, "txt") == [("", Status.CAPTION_MISSING)]
    assert captions({"caption": "a"}, "json:text") == [("", Status.CAPTION_MISSING)]
    (pair,) = pairs_of(sample(txt=b"a"), "json:caption")
    assert pair.reject == Status.CAPTION_MISSING


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\0\x07", "\u200b\u00a0\u3000".encode()])
def test_nothing_visible_is_empty(content: bytes) -> None:
    assert txt(content)[1] == Status.CAPTION_EMPTY


@pytest.mark.parametrize("text", [".", "犬", "🐕", "\U0001fae8", "-1"])
def test_anything_visible_is_a_caption(text: str) -> None:
    assert txt(text.encode()) == (text, None)


@pytest.mark.parametrize("content", [b"caf\xe9", b"\xff\xfea\0", b"\xed\xa0\x80"])
def test_what_is_not_utf8_is_not_text(content: bytes) -> None:
    assert txt(content) == ("", Status.CAPTION_NOT_TEXT)


@pytest.mark.parametrize("value", [7, True, {"en": "a"}, 1.5])
def test_a_json_value_that_is_no_string_is_not_text(value: Any) -> None:
    (pair,) = pairs_of(sample(json=json_bytes({"caption": value})))
    assert pair.reject == Status.CAPTION_NOT_TEXT
    assert type(value).__name__ in pair.detail


def test_half_a_surrogate_pair_is_not_text() -> None:
    (pair,) = pairs_of(sample(json=b'{"caption": "a \\ud83d dog"}'))
    assert (pair.caption, pair.reject) == ("a ? dog", Status.CAPTION_NOT_TEXT)


def test_a_caption_over_100_000_characters_is_too_long() -> None:
    assert txt(b"x" * 100_000) == ("x" * 100_000, None)
    assert txt(b"x" * 100_001) == ("x" * 1000, Status.CAPTION_TOO_LONG)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b'{"caption": "caf\xe9"}',
        b'{"a":' * 100_000,
        b'{"caption": ' + b"9" * 5000 + b"}",
    ],
)
def test_json_that_is_no_object_is_invalid(content: bytes) -> None:
    (pair,) = pairs_of(sample(json=content))
    assert (pair.caption, pair.reject) == ("", Status.JSON_INVALID)
    assert pair.detail.startswith(".json ")


def test_a_rejected_sample_keeps_its_captions() -> None:
    rejected = sample(Status.DUPLICATE_KEY, json=json_bytes({"captions": ["a", ""]}))
    assert pairs_of(rejected) == [
        PairText(0, "a", Status.DUPLICATE_KEY, "why"),
        PairText(1, "", Status.DUPLICATE_KEY, "why"),
    ]
    assert pairs_of(sample(Status.UNSAFE_NAME)) == [PairText(0, "", Status.UNSAFE_NAME, "why")]


@pytest.mark.parametrize("source", ["auto", "txt", "json:caption"])
def test_known_sources_are_accepted(source: str) -> None:
    check_source(source)


@pytest.mark.parametrize("source", ["", "json", "json:", "parquet:x", "AUTO"])
def test_unknown_sources_are_refused_with_a_hint(source: str) -> None:
    with pytest.raises(ConfigError, match="unknown caption source") as caught:
        check_source(source)
    assert "json:FIELD" in caught.value.hint


def test_uid_and_url_are_returned_where_they_are_strings() -> None:
    fields = {"uid": "u1", "URL": "http://x/" + "y" * 3000, "sha256": "z"}
    assert sample_fields(sample(json=json_bytes(fields))) == {
        "uid": "u1",
        "url": ("http://x/" + "y" * 3000)[:2000],
    }
    assert sample_fields(sample(json=b'{"uid": 7, "url": null}')) == {}
    assert sample_fields(sample(json=b'{"uid": "\\ud800"}')) == {"uid": "?"}
    assert sample_fields(sample(json=b"nonsense")) == {}
    assert sample_fields(sample()) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["caption", "x"]), inner),
    max_leaves=8,
)
json_members = st.binary() | json_values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries({}, optional={"txt": st.binary(), "json": json_members}),
    st.sampled_from(["auto", "txt", "json:caption", "json:x"]),
)
@example({"json": b'{"caption": "\\ud800"}'}, "auto")
def test_any_content_gives_pairs_that_can_be_written(
    members: dict[str, bytes], source: str
) -> None:
    pairs = pairs_of(sample(**members), source)
    assert pairs
    for pair in pairs:
        pair.caption.encode()
        assert pair.reject is not None or pair.caption
    sample_fields(sample(**members))
