import io
import json
import tarfile
from typing import Any

import pytest

from ncaudit.errors import InputError
from ncaudit.shards.copy import end_archive
from ncaudit.shards.read import read_samples
from ncaudit.shards.rewrite import annotate_sample, rewrite_sample
from ncaudit.shards.samples import Sample
from ncaudit.types import Status
from tests.support.shards import json_bytes, tar_bytes, tar_of

EXTRA = {"status": "unsafe_name", "p_mismatch": None}


def samples_of(content: bytes) -> list[Sample]:
    return [s for s in read_samples(io.BytesIO(content)) if isinstance(s, Sample)]


def members(content: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return [(i.name, tar.extractfile(i).read()) for i in tar]  # type: ignore[union-attr]


THREE = tar_bytes([(key, {"jpg": key.encode() * 600, "txt": b"t"}) for key in "abc"])


def rewritten(content: bytes, extra: dict[str, Any] | None = None) -> bytes:
    target = io.BytesIO()
    for sample in samples_of(content):
        span = (sample.start, sample.stop)
        annotate_sample(io.BytesIO(content), span, extra or EXTRA, target)
    end_archive(target)
    return target.getvalue()


def test_the_reasons_are_added_to_the_json_and_the_rest_is_verbatim() -> None:
    content = tar_bytes([("a", {"jpg": b"1" * 600, "json": b'{"url": "x"}', "txt": b"t"})])
    out = rewritten(content)
    assert members(out) == [
        ("a.jpg", b"1" * 600),
        ("a.json", json_bytes({"url": "x", "ncaudit": EXTRA})),
        ("a.txt", b"t"),
    ]
    assert out[:1536] == content[:1536]


def test_the_new_json_has_the_header_fields_of_the_old_one() -> None:
    info = tarfile.TarInfo("a.JSON")
    info.mtime, info.mode, info.uname, info.uid = 77, 0o444, "bigdata", 5
    out = rewritten(tar_of([(info, b"{}")]))
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        (new,) = tar.getmembers()
    assert (new.name, new.mtime, new.mode, new.uname, new.uid) == (
        "a.JSON",
        77,
        0o444,
        "bigdata",
        5,
    )


def test_a_sample_without_json_gets_one_at_its_end() -> None:
    out = rewritten(tar_bytes([("./d/a", {"jpg": b"1"}), ("b", {"txt": b"2"})]))
    added = json_bytes({"ncaudit": EXTRA})
    assert members(out) == [
        ("./d/a.jpg", b"1"),
        ("./d/a.json", added),
        ("b.txt", b"2"),
        ("b.json", added),
    ]


@pytest.mark.parametrize("old", [b"[1]", b"nonsense", b"\xff", b" " * (5 << 20), b"[" * 99_999])
def test_a_json_that_is_no_object_is_kept_and_another_is_added(old: bytes) -> None:
    out = rewritten(tar_bytes([("a", {"json": old, "txt": b"t"})]))
    assert members(out) == [
        ("a.json", old),
        ("a.txt", b"t"),
        ("a.ncaudit.json", json_bytes({"ncaudit": EXTRA})),
    ]


def test_a_member_that_is_cut_is_left_out() -> None:
    content = tar_bytes([("a", {"jpg": b"1", "txt": b"x" * 2000})])[: 1024 + 512 + 700]
    (sample,) = samples_of(content)
    assert sample.reject == Status.SHARD_TRUNCATED
    out = rewritten(content)
    assert members(out) == [("a.jpg", b"1"), ("a.json", json_bytes({"ncaudit": EXTRA}))]


def test_a_sample_whose_only_member_is_cut_still_leaves_its_reasons() -> None:
    content = tar_bytes([("a", {"jpg": b"1" * 2000})])[:1000]
    assert members(rewritten(content)) == [("a.json", json_bytes({"ncaudit": EXTRA}))]


def test_long_foreign_and_gzip_looking_names_survive() -> None:
    names = ["k" * 150, "日本", "a", "\x1f\udc8bx"]
    content = tar_bytes([(name, {"jpg": b"1"}) for name in names], tar_format=tarfile.PAX_FORMAT)
    out = rewritten(content)
    assert [name for name, _ in members(out)] == [
        f"{name}.{suffix}" for name in names for suffix in ("jpg", "json")
    ]
    assert [s.key for s in samples_of(out)] == [s.key for s in samples_of(content)]


def test_a_rewritten_sample_reads_back_as_one_sample() -> None:
    content = tar_bytes([("a", {"jpg": b"1", "json": b'{"caption": "x"}'}), ("b", {"txt": b"y"})])
    first, second = samples_of(rewritten(content))
    assert json.loads(first.members["json"]) == {"caption": "x", "ncaudit": EXTRA}
    assert (first.key, second.key) == ("a", "b")


@pytest.mark.parametrize("span", [(0, 512), (512, 2048), (4096, 1 << 20), (1 << 20, 2 << 20)])
def test_a_wrong_span_never_writes_a_broken_sample(span: tuple[int, int]) -> None:
    try:
        annotate_sample(io.BytesIO(THREE), span, EXTRA, target := io.BytesIO())
    except InputError:
        return
    end_archive(target)
    members(target.getvalue())


def changed(members_of: dict[str, bytes], content: dict[str, bytes], tag: str = "") -> bytes:
    source = tar_bytes([("./d/a", members_of)])
    target = io.BytesIO()
    (sample,) = samples_of(source)
    span = (sample.start, sample.stop)
    rewrite_sample(io.BytesIO(source), span, content, target, key_tag=tag)
    end_archive(target)
    return target.getvalue()


def test_members_change_in_their_place_and_new_ones_come_last() -> None:
    out = changed({"jpg": b"1" * 600, "txt": b"old"}, {"json": b"{}", "txt": b"new"})
    assert members(out) == [
        ("./d/a.jpg", b"1" * 600),
        ("./d/a.txt", b"new"),
        ("./d/a.json", b"{}"),
    ]


def test_a_tag_renames_every_member_and_nothing_else() -> None:
    out = changed({"jpg": b"1" * 600, "seg.PNG": b"2"}, {"txt": b"new"}, tag="_1")
    assert members(out) == [
        ("./d/a_1.jpg", b"1" * 600),
        ("./d/a_1.seg.PNG", b"2"),
        ("./d/a_1.txt", b"new"),
    ]


def test_a_sample_without_changes_keeps_its_bytes() -> None:
    out = changed({"jpg": b"1" * 600, "txt": b"t"}, {})
    assert out == tar_bytes([("./d/a", {"jpg": b"1" * 600, "txt": b"t"})])
