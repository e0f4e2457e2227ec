import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings, strategies as st

from ncaudit.errors import InputError
from ncaudit.shards.copy import copy_spans, end_archive, first_name, held, open_tar_bytes
from ncaudit.shards.read import read_samples
from ncaudit.shards.rewrite import annotate_sample
from ncaudit.shards.samples import Sample
from tests.support.shards import tar_bytes, tar_of, write_shard

EXTRA = {"status": "unsafe_name", "p_mismatch": None}


def samples_of(content: bytes) -> list[Sample]:
    return [s for s in read_samples(io.BytesIO(content)) if isinstance(s, Sample)]


def members(content: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return [(i.name, tar.extractfile(i).read()) for i in tar]  # type: ignore[union-attr]


def copied(content: bytes, spans: list[tuple[int, int]]) -> bytes:
    target = io.BytesIO()
    copy_spans(io.BytesIO(content), spans, target)
    end_archive(target)
    return target.getvalue()


def rewritten(content: bytes, extra: dict[str, Any] | None = None) -> bytes:
    target = io.BytesIO()
    for sample in samples_of(content):
        span = (sample.start, sample.stop)
        annotate_sample(io.BytesIO(content), span, extra or EXTRA, target)
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
        copy_spans(file, [(0, len(THREE))], io.BytesIO())


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a.jpg", "./d/é.jpg", "k" * 150 + ".txt", "d/" * 60 + "b.json"])
def test_the_first_name_of_a_range_is_that_of_its_member(name: str, tar_format: int) -> None:
    content = tar_of([("x.txt", b"1"), (name, b"2" * 700)], tar_format=tar_format)
    assert first_name(io.BytesIO(content), (1024, len(content))) == name


@pytest.mark.parametrize("start", [512, 2048, 1 << 20])
def test_a_range_that_starts_with_no_header_has_no_name(start: int) -> None:
    content = tar_of([("x.txt", b"1" * 600)])
    assert first_name(io.BytesIO(content), (start, start + 512)) is None


def test_a_small_range_is_held_in_memory_and_a_large_one_is_not() -> None:
    source = io.BytesIO(THREE)
    memory, span = held(source, (512, 1536))
    assert (memory.read(), span) == (THREE[512:1536], (0, 1024))
    assert held(source, (0, 1 << 30)) == (source, (0, 1 << 30))
