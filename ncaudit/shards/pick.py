"""Single samples out of shards, by their byte range, for looking at some pairs of many.

Separate from reading a shard front to back, because a page with forty pictures should not
read a terabyte. Where there is no range, or the tar is packed, it is read to the sample.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from ncaudit.files import open_read
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import Sample
from ncaudit.shards.stream import GZIP_MAGIC

_END_OF_TAR = bytes(1024)
_MAX_RANGE_BYTES = 256 << 20  # more than the largest members of a sample together


@dataclass(frozen=True, slots=True, order=True)
class SampleAddress:
    """Where a sample is in its shard.

    Attributes:
        index: Position among the shard's samples.
        key: Its key; a sample of another key at this place is not it.
        start: Offset in bytes of its first header in the uncompressed tar, or -1.
        stop: Offset just after its last member, or -1.
    """

    index: int
    key: str
    start: int = -1
    stop: int = -1


def pick_samples(
    path: str, wanted: Iterable[SampleAddress]
) -> Iterator[tuple[SampleAddress, Sample]]:
    """Yield the wanted samples of one shard in shard order; those that are gone are left out.

    Args:
        path: Local path or URL of the tar.
        wanted: Addresses in this shard.

    Raises:
        OSError: If the shard cannot be read.
    """
    addresses = sorted(set(wanted))
    if not addresses:
        return
    with open_read(path) as file:
        packed = file.read(2) == GZIP_MAGIC
        if not packed and file.seekable() and all(_is_range(x) for x in addresses):
            yield from _by_range(file, addresses)
            return
        file.seek(0)
        yield from _by_index(file, addresses)


def _is_range(address: SampleAddress) -> bool:
    return 0 <= address.start < address.stop <= address.start + _MAX_RANGE_BYTES


def _by_range(
    file: IO[bytes], addresses: list[SampleAddress]
) -> Iterator[tuple[SampleAddress, Sample]]:
    for address in addresses:
        file.seek(address.start)
        content = file.read(address.stop - address.start)
        for sample in read_samples(io.BytesIO(content + _END_OF_TAR)):
            if isinstance(sample, Sample) and sample.key == address.key:
                yield address, sample
                break


def _by_index(
    file: IO[bytes], addresses: list[SampleAddress]
) -> Iterator[tuple[SampleAddress, Sample]]:
    by_index = {address.index: address for address in addresses}
    last = addresses[-1].index
    for sample in read_samples(file):
        if not isinstance(sample, Sample) or sample.index > last:
            return
        address = by_index.get(sample.index)
        if address is not None and address.key == sample.key:
            yield address, sample
