import gzip
import io
import tarfile
from collections.abc import Iterator
from typing import IO, Any

import pytest
import webdataset.tariterators
from hypothesis import given, settings, strategies as st

from ncaudit.shards.read import ReadLimits, image_of, read_samples
from ncaudit.shards.samples import Sample, ShardDefect
from ncaudit.types import Status
from tests.support.shards import tar_bytes, tar_of

BLOCK = tarfile.BLOCKSIZE


def read(content: bytes, limits: ReadLimits | None = None) -> list[Sample | ShardDefect]:
    return list(read_samples(io.BytesIO(content), limits or ReadLimits()))


def samples_of(content: bytes, limits: ReadLimits | None = None) -> list[Sample]:
    read_back = read(content, limits)
    assert not any(isinstance(item, ShardDefect) for item in read_back), read_back
    return [item for item in read_back if isinstance(item, Sample)]


def keys(content: bytes) -> list[str]:
    return [sample.key for sample in samples_of(content)]


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def test_members_of_one_key_are_one_sample() -> None:
    content = tar_bytes([("a", {"jpg": b"1", "json": b"2", "txt": b"3"}), ("b", {"png": b"4"})])
    assert samples_of(content) == [
        Sample(0, "a", {"jpg": b"1", "json": b"2", "txt": b"3"}, 0, 3 * 1024),
        Sample(1, "b", {"png": b"4"}, 3 * 1024, 4 * 1024),
    ]


def test_the_key_ends_at_the_first_dot_of_the_base_name() -> None:
    (sample,) = samples_of(tar_of([("d.x/a.seg.png", b"mask"), ("d.x/a.JPG", b"image")]))
    assert (sample.key, sample.members) == ("d.x/a", {"jpg": b"image"})
    assert image_of(sample) == ("jpg", b"image")


def test_the_image_is_the_first_of_jpg_jpeg_png_webp() -> None:
    members = {"webp": b"w", "png": b"p", "jpeg": b"j", "txt": b""}
    (sample,) = samples_of(tar_bytes([("a", members)]))
    assert image_of(sample) == ("jpeg", b"j")
    (sample,) = samples_of(tar_bytes([("a", {"txt": b"", "gif": b"g"})]))
    assert image_of(sample) is None


def test_a_leading_dot_slash_is_no_part_of_the_key() -> None:
    assert keys(tar_of([("./a.jpg", b""), ("a.txt", b"")])) == ["a"]


def test_folders_meta_members_and_names_without_a_key_belong_to_no_sample() -> None:
    content = tar_of(
        [
            special("a.d", tarfile.DIRTYPE),
            ("__meta__", b"x"),
            ("a.jpg", b"1"),
            ("__x__/a.jpg", b"x"),
            ("README", b"x"),
            (".hidden.jpg", b"x"),
            ("a.txt", b"2"),
        ]
    )
    (sample,) = samples_of(content)
    assert sample.members == {"jpg": b"1", "txt": b"2"}
    assert sample.start == 1536  # the folder and the meta member are before it


def test_other_members_are_not_held_but_belong_to_the_span() -> None:
    content = tar_bytes([("a", {"cls": b"7", "jpg": b"1", "npy": b"x" * 600})])
    (sample,) = samples_of(content)
    assert (sample.members, sample.start, sample.stop) == ({"jpg": b"1"}, 0, 512 * 7)


def test_a_repeated_suffix_starts_a_second_sample_of_the_key() -> None:
    content = tar_of([("a.jpg", b"1"), ("a.txt", b"2"), ("a.JPG", b"3")])
    first, second = samples_of(content)
    assert (first.members, first.reject) == ({"jpg": b"1", "txt": b"2"}, None)
    assert (second.key, second.members) == ("a", {"jpg": b"3"})
    assert second.reject == Status.DUPLICATE_KEY


def test_a_key_that_comes_back_is_a_duplicate() -> None:
    content = tar_bytes([("a", {"jpg": b"1"}), ("b", {"jpg": b"2"}), ("a", {"txt": b"3"})])
    assert [s.reject for s in samples_of(content)] == [None, None, Status.DUPLICATE_KEY]
    assert [s.index for s in samples_of(content)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../a.jpg", "../a"),
        ("x/../a.jpg", "x/../a"),
        ("x\\..\\a.jpg", "x\\"),
        ("/etc/a.jpg", "/etc/a"),
        ("\\a.jpg", "\\a"),
        ("a\x1b[31m.jpg", "a\\x1b[31m"),
        ("a\nb.jpg", "a\\x0ab"),
        ("a\x9bb.jpg", "a\\x9bb"),
        ("k" * 5000 + ".jpg", "k" * 1000),
    ],
)
def test_an_unsafe_name_is_a_reject_and_its_key_is_shown_safely(name: str, shown: str) -> None:
    content = tar_of([(name, b"1"), ("good.jpg", b"2")], tar_format=tarfile.PAX_FORMAT)
    bad, good = samples_of(content)
    assert (bad.key, bad.reject) == (shown, Status.UNSAFE_NAME)
    assert bad.detail
    assert (good.key, good.reject) == ("good", None)


def test_a_nul_in_a_pax_name_is_unsafe() -> None:
    content = tar_of([("aéb.jpg", b"1")], tar_format=tarfile.PAX_FORMAT)
    (sample,) = samples_of(content.replace("aéb".encode(), b"a\0\0b"))
    assert (sample.key, sample.reject) == ("a\\x00\\x00b", Status.UNSAFE_NAME)


def test_a_name_that_is_not_utf8_is_kept_and_shown_escaped() -> None:
    content = tar_of([("a\udcffb.jpg", b"1")])
    (sample,) = samples_of(content)
    assert (sample.key, sample.reject) == ("a\\xffb", None)


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read(tar_format: int) -> None:
    long = "d" * 150 + "/" + "k" * 120
    content = tar_bytes([(long, {"jpg": b"1"}), ("日本", {"txt": b"2"})], tar_format=tar_format)
    first, second = samples_of(content)
    assert (first.key, second.key) == (long, "日本")
    assert (first.start, first.stop) == (0, second.start)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_an_image_that_is_a_link_or_device_is_never_followed(kind: bytes) -> None:
    content = tar_of([special("a.jpg", kind, "/etc/passwd"), ("a.txt", b"x"), ("b.jpg", b"y")])
    linked, good = samples_of(content)
    assert (linked.reject, linked.members) == (Status.UNSAFE_NAME, {"txt": b"x"})
    assert "not followed" in linked.detail
    assert good.reject is None


def test_a_link_that_is_no_image_or_caption_is_ignored() -> None:
    (sample,) = samples_of(tar_of([special("b.lnk", tarfile.SYMTYPE, "x"), ("a.jpg", b"y")]))
    assert (sample.key, sample.start) == ("a", 512)


def test_sparse_members_are_not_read() -> None:
    info = tarfile.TarInfo("a.jpg")
    info.pax_headers = {"GNU.sparse.size": "1000000000000", "GNU.sparse.map": "0,1"}
    content = tar_of([(info, b"x"), ("b.jpg", b"y")], tar_format=tarfile.PAX_FORMAT)
    sparse, good = samples_of(content)
    assert (sparse.reject, sparse.members, good.reject) == (Status.UNSAFE_NAME, {}, None)


def test_an_old_gnu_sparse_map_is_skipped() -> None:
    header = bytearray(tar_of([("a.jpg", b"x" * 512)])[:1024])
    header[156:157], header[482] = tarfile.GNUTYPE_SPARSE, 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    content = bytes(header[:512]) + more + last + bytes(header[512:]) + tar_of([("b.jpg", b"y")])
    sparse, good = samples_of(content)
    assert (sparse.reject, sparse.stop) == (Status.UNSAFE_NAME, 4 * BLOCK)
    assert good.members == {"jpg": b"y"}


@pytest.mark.parametrize("suffix", ["jpg", "txt", "json"])
def test_a_member_over_its_limit_is_skipped_unread(suffix: str) -> None:
    content = tar_bytes([("a", {suffix: b"x" * 11, "png": b"i"}), ("b", {suffix: b"x" * 10})])
    limits = ReadLimits(image_bytes=10, caption_bytes=10, json_bytes=10)
    large, good = samples_of(content, limits)
    assert (large.reject, large.members) == (Status.MEMBER_TOO_LARGE, {"png": b"i"})
    assert large.detail == f".{suffix} has 11 bytes; the limit is 10"
    assert good.reject is None


def test_a_large_member_nobody_reads_is_no_reject() -> None:
    content = tar_bytes([("a", {"mp4": b"x" * 3_000_000, "jpg": b"i"})])
    (sample,) = samples_of(content, ReadLimits(image_bytes=10))
    assert sample.reject is None


def test_at_most_64_members_of_a_sample_are_looked_at() -> None:
    members = {f"x{n}": b"" for n in range(63)} | {"jpg": b"1", "txt": b"2"}
    sample, other = samples_of(tar_bytes([("a", members), ("b", {"jpg": b""})]))
    assert sample.members == {"jpg": b"1"}
    assert sample.stop == other.start


def two_samples() -> bytes:
    return tar_bytes([("a", {"jpg": b"1" * 700, "txt": b"2"}), ("b", {"jpg": b"3" * 700})])


@pytest.mark.parametrize("packed", [False, True])
def test_a_tar_cut_in_a_member_yields_what_comes_before(packed: bool) -> None:
    content = two_samples()[: 2560 + 512 + 600]
    content = gzip.compress(content)[:-9] if packed else content
    first, cut, defect = read(content)
    assert isinstance(first, Sample)
    assert isinstance(cut, Sample)
    assert isinstance(defect, ShardDefect)
    assert first.reject is None
    assert (cut.key, cut.members, cut.reject) == ("b", {}, Status.SHARD_TRUNCATED)
    assert cut.stop <= len(two_samples()[: 2560 + 512 + 600])
    assert defect.status == Status.SHARD_TRUNCATED
    assert packed or defect.detail == f"cut at byte {2560 + 512 + 600}"
    assert not packed or "gzip" in defect.detail


def test_a_tar_cut_in_a_header_keeps_the_samples_before() -> None:
    first, defect = read(two_samples()[: 2560 + 100])
    assert isinstance(first, Sample)
    assert first.reject is None
    assert defect == ShardDefect(Status.SHARD_TRUNCATED, "header cut at byte 2660")


def test_a_tar_without_its_end_mark_may_have_lost_members() -> None:
    *samples, defect = read(two_samples()[: 2560 + 1536])
    assert [s.reject for s in samples if isinstance(s, Sample)] == [None, None]
    assert defect == ShardDefect(Status.SHARD_TRUNCATED, "no end-of-archive mark at byte 4096")


def test_a_corrupt_header_in_the_middle_is_not_taken_for_the_end() -> None:
    content = bytearray(two_samples())
    content[2560 + 20] ^= 0xFF
    first, defect = read(bytes(content))
    assert isinstance(first, Sample)
    assert defect == ShardDefect(
        Status.SHARD_TRUNCATED, "corrupt header at byte 2560: bad checksum"
    )


def test_data_after_the_end_mark_is_told() -> None:
    *samples, defect = read(two_samples() + two_samples())
    assert len(samples) == 2
    assert isinstance(defect, ShardDefect)
    assert "data after the end-of-archive mark" in defect.detail


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>" * 200,
        b"PK\x03\x04" + b"x" * 2000,
        b"short",
        gzip.compress(b"<html>" * 200, mtime=0),
        gzip.compress(b"", mtime=0),
        b"\x1f\x8bnot gzip at all" * 99,
        gzip.compress(two_samples(), mtime=0)[:12],
    ],
)
def test_what_is_no_tar_is_one_defect(content: bytes) -> None:
    (defect,) = read(content)
    assert isinstance(defect, ShardDefect)
    assert defect.status == Status.SHARD_UNREADABLE


def test_an_empty_file_says_so() -> None:
    assert read(b"") == [ShardDefect(Status.SHARD_UNREADABLE, "empty file")]


def test_a_tar_without_members_has_no_samples() -> None:
    assert read(tar_of([])) == []


def test_gzip_reads_the_same_even_in_several_parts() -> None:
    content = two_samples()
    packed = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    assert read(packed) == read(content)


def test_a_wrong_gzip_checksum_is_told() -> None:
    packed = bytearray(gzip.compress(two_samples()))
    packed[-8] ^= 1
    *samples, defect = read(bytes(packed))
    assert len(samples) == 2
    assert isinstance(defect, ShardDefect)
    assert "gzip" in defect.detail


def extended(kind: bytes, claimed: int, content: bytes) -> bytes:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, claimed
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % BLOCK)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_an_extended_header_over_a_megabyte_is_refused(kind: bytes) -> None:
    bomb = extended(kind, 1 << 40, b"")
    *samples, defect = read(two_samples()[:4096] + bomb + two_samples())
    assert len(samples) == 2
    assert isinstance(defect, ShardDefect)
    assert "extended header of" in defect.detail


@pytest.mark.parametrize(
    "record",
    [
        b"99 path=x\n",
        b"0 path=x\n",
        b"-5 path=x\n",
        b"x",
        b"10 pathxxx\n",
        b"9 path=xx",
        b"13 size=zzzz\n",
        b"12 size=-12\n",
        b"2 " * 200_000 + b"=\n",
    ],
)
def test_a_broken_pax_header_ends_the_reading(record: bytes) -> None:
    *samples, defect = read(
        two_samples()[:4096] + extended(b"x", len(record), record) + two_samples()
    )
    assert len(samples) == 2
    assert isinstance(defect, ShardDefect)
    assert defect.status == Status.SHARD_TRUNCATED


def test_extended_headers_in_a_row_need_no_stack() -> None:
    content = extended(b"x", 9, b"9 path=x\n") * 5000 + tar_of([("a.jpg", b"1")])
    assert [sample.start for sample in samples_of(content)] == []  # called x: no suffix
    content = extended(b"g", 9, b"9 path=x\n") * 5000 + tar_of([("a.jpg", b"1")])
    assert [sample.key for sample in samples_of(content)] == ["a"]


def test_an_extended_header_without_its_member_is_told() -> None:
    (defect,) = read(extended(b"x", 9, b"9 path=x\n") + bytes(1024))
    assert isinstance(defect, ShardDefect)
    assert "without its member" in defect.detail


def test_a_failing_file_is_not_taken_for_bad_data() -> None:
    class Failing(io.BytesIO):
        def read1(self, _size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(read_samples(Failing(two_samples())))


def test_the_file_is_left_open_and_needs_no_seek() -> None:
    class OneWay(io.RawIOBase):
        def __init__(self, content: bytes) -> None:
            self.content = io.BytesIO(content)

        def read(self, size: int = -1, /) -> bytes:
            return self.content.read(min(size, 100))

    file = OneWay(two_samples())
    assert len(list(read_samples(file))) == 2  # type: ignore[arg-type]
    assert not file.closed


def webdataset_groups(content: bytes) -> list[dict[str, Any]]:
    def streams() -> Iterator[dict[str, Any]]:
        yield {"url": "x", "stream": io.BytesIO(content)}

    files = webdataset.tariterators.tar_file_expander(streams())
    return list(webdataset.tariterators.group_by_keys(files))


suffixes = st.lists(st.sampled_from(["jpg", "txt", "json", "seg.png", "CLS"]), unique=True)
well_formed = st.lists(
    st.tuples(
        st.text("abc/é_", min_size=1, max_size=8),
        suffixes.map(lambda names: {name: name.encode() for name in names}),
    ),
    max_size=8,
    unique_by=lambda sample: sample[0],
)


@settings(max_examples=60, deadline=None)
@given(well_formed, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_samples_are_those_of_webdataset(samples: Any, tar_format: int) -> None:
    content = tar_bytes(samples, tar_format=tar_format)
    theirs = [
        (group["__key__"], {name: group[name] for name in ("jpg", "txt", "json") if name in group})
        for group in webdataset_groups(content)
    ]
    assert [(sample.key, sample.members) for sample in samples_of(content)] == theirs


names_of_members = st.one_of(
    st.sampled_from(["a.jpg", "a.txt", "b.JPG", "./b.txt", "../c.jpg", "/d.json", "__m__", "e"]),
    st.text(max_size=20).filter(lambda name: "\0" not in name),
)
special_members = st.builds(
    special,
    names_of_members,
    st.sampled_from([tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE]),
    st.just("x"),
)
any_member = st.one_of(st.tuples(names_of_members, st.binary(max_size=1200)), special_members)


@st.composite
def damaged_tars(draw: st.DrawFn) -> bytes:
    tar_format = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    content = bytearray(tar_of(draw(st.lists(any_member, max_size=6)), tar_format=tar_format))
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    content = content[: draw(st.integers(0, len(content)))]
    return bytes(content)


@settings(max_examples=200, deadline=None)
@given(damaged_tars() | st.binary(max_size=2000))
def test_nothing_in_the_data_raises_and_spans_increase_within_the_file(content: bytes) -> None:
    *items, last = [None, *read(content)]
    if isinstance(last, Sample):
        items.append(last)
    position = 0
    for index, sample in enumerate(items[1:]):
        assert isinstance(sample, Sample)
        assert sample.index == index
        assert position <= sample.start < sample.stop <= len(content)
        sample.key.encode()
        position = sample.stop


@settings(max_examples=60, deadline=None)
@given(damaged_tars(), st.data())
def test_damaged_gzip_never_raises(content: bytes, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(content))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    read(bytes(packed[: data.draw(st.integers(0, len(packed)))]))


def test_memory_does_not_grow_with_the_shard() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        """500 MB of samples that are made as they are read."""

        def __init__(self) -> None:
            self.left = 500
            self.piece = tar_of([("a.bin", b"x" * (1 << 20))])[: (1 << 20) + 512]
            self.buffer = b""

        def read(self, size: int = -1, /) -> bytes:
            if not self.buffer and self.left:
                self.buffer, self.left = self.piece, self.left - 1
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            return piece

    file: IO[bytes] = Endless()  # type: ignore[assignment]
    tracemalloc.start()
    n_items = sum(1 for _ in read_samples(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_items == 501  # the samples, and the missing end mark
    assert peak < 20 << 20
