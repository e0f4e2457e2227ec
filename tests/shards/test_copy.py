import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings, strategies as st

from ncaudit.errors import InputError
from ncaudit.shards.copy import copy_samples, end_archive, open_tar_bytes, rewrite_sample
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import Sample
from ncaudit.types import Status
from tests.support.shards import json_bytes, tar_bytes, tar_of, write_shard

EXTRA = {"status": "unsafe_name", "p_mismatch": None}


def samples_of(content: bytes) -> list[Sample]:
    return [s for s in read_samples(io.BytesIO(content)) if isinstance(s, Sample)]


def members(content: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return [(i.name, tar.extractfile(i).read()) for i in tar]  # type: ignore[union-attr]


def copied(content: bytes, spans: list[tuple[int, int]]) -> bytes:
    target = io.BytesIO()
    copy_samples(io.BytesIO(content), spans, target)
    return target.getvalue()


def rewritten(content: bytes, extra: dict[str, Any] | None = None) -> bytes:
    target = io.BytesIO()
    for sample in samples_of(content):
        span = (sample.start, sample.stop)
        rewrite_sample(io.BytesIO(content), span, extra or EXTRA, target)
    end_archive(target)
    return target.getvalue()


THREE = tar_bytes([(key, {"jpg": key.encode() * 600, "txt": b"t"}) for key in "abc"])


def test_copying_every_sample_gives_the_same_bytes() -> None:
    spans = [(sample.start, sample.stop) for sample in samples_of(THREE)]
    assert copied(THREE, spans) == THREE


def test_copying_some_samples_keeps_their_members_and_order() -> None:
    first, _, last = samples_of(THREE)
    out = copied(THREE, [(first.start, first.stop), (last.start, last.stop)])
    assert members(out) == [m for m in members(THREE) if not m[0].startswith("b")]
    assert len(out) % tarfile.RECORDSIZE == 0


def test_copying_nothing_gives_an_empty_tar() -> None:
    assert copied(THREE, []) == tar_of([])


def test_a_source_that_ends_early_is_an_input_error() -> None:
    with pytest.raises(InputError, match="ends 512 bytes before"):
        copied(THREE[:512], [(0, 1024)])


@pytest.mark.parametrize("span", [(0, 100), (3, 512), (1024, 512)])
def test_a_span_of_no_whole_blocks_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="whole tar blocks"):
        copied(THREE, [span])


names = st.sampled_from(["a.jpg", "a.txt", "b.jpg", "é.json", "d/" + "k" * 120 + ".png"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=8),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_copying_all_spans_of_any_tar_gives_the_same_members(
    content: list[tuple[str, bytes]], tar_format: int
) -> None:
    original = tar_of(content, tar_format=tar_format)
    out = copied(original, [(s.start, s.stop) for s in samples_of(original)])
    assert out == original
    assert members(out) == content


@pytest.mark.parametrize("name", ["0.tar", "0.tar.gz", "0.tgz", "packed.tar"])
def test_plain_and_gzip_shards_open_as_the_same_seekable_bytes(tmp_path: Path, name: str) -> None:
    path = write_shard(tmp_path / name, [("a", {"jpg": b"1"})])
    if name == "packed.tar":
        path.write_bytes(gzip.compress(path.read_bytes()))
    with open_tar_bytes(str(path)) as file:
        content = file.read()
        file.seek(0)
        assert file.read() == content
    assert content == tar_bytes([("a", {"jpg": b"1"})])


def test_a_url_opens_too_and_a_pipe_does_not() -> None:
    fsspec.filesystem("memory").pipe("/copy/0.tar", gzip.compress(THREE))
    with open_tar_bytes("memory://copy/0.tar") as file:
        assert file.read() == THREE
    with pytest.raises(InputError):
        open_tar_bytes("pipe:cat 0.tar")


def test_damaged_gzip_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(gzip.compress(THREE)[:-20])
    with open_tar_bytes(str(tmp_path / "0.tar")) as file, pytest.raises(InputError, match="gzip"):
        copy_samples(file, [(0, len(THREE))], io.BytesIO())


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
        rewrite_sample(io.BytesIO(THREE), span, EXTRA, target := io.BytesIO())
    except InputError:
        return
    end_archive(target)
    members(target.getvalue())
