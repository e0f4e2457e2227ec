from pathlib import Path

import pytest

from ncaudit.shards.pick import SampleAddress, pick_samples
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import Sample
from tests.support.shards import pair, write_shard

SAMPLES = [(f"k{at}", pair("red", f"caption {at}")) for at in range(5)]


def addresses(path: Path) -> list[SampleAddress]:
    with path.open("rb") as file:
        samples = [sample for sample in read_samples(file) if isinstance(sample, Sample)]
    return [SampleAddress(x.index, x.key, x.start, x.stop) for x in samples]


def captions(path: Path, wanted: list[SampleAddress]) -> list[bytes]:
    return [sample.members["txt"] for _, sample in pick_samples(str(path), wanted)]


def test_samples_are_picked_by_their_byte_range_in_shard_order(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", SAMPLES)
    every = addresses(path)
    assert captions(path, [every[3], every[1], every[3]]) == [b"caption 1", b"caption 3"]


def test_only_the_range_is_read(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", SAMPLES)
    every = addresses(path)
    content = bytearray(path.read_bytes())
    content[: every[2].start] = bytes(every[2].start)
    path.write_bytes(content)
    assert captions(path, [every[2]]) == [b"caption 2"]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_without_a_range_or_packed_the_sample_is_found_by_its_place(
    tmp_path: Path, name: str
) -> None:
    path = write_shard(tmp_path / name, SAMPLES)
    assert captions(path, [SampleAddress(4, "k4"), SampleAddress(0, "k0")]) == [
        b"caption 0",
        b"caption 4",
    ]


def test_a_sample_of_another_key_at_that_place_is_not_it(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", SAMPLES)
    first = addresses(path)[0]
    other = SampleAddress(0, "other", first.start, first.stop)
    assert captions(path, [other, SampleAddress(1, "k7")]) == []


def test_a_range_outside_the_shard_gives_nothing(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", SAMPLES)
    assert captions(path, [SampleAddress(0, "k0", 10**9, 10**9 + 512)]) == []


def test_nothing_wanted_opens_nothing() -> None:
    assert list(pick_samples("/no/such/shard.tar", [])) == []
