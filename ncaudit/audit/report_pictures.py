"""The pictures a page needs, read from the shards they are in."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ncaudit.audit.scored_run import ScoredShard
from ncaudit.devices import usable_cores
from ncaudit.errors import InputError
from ncaudit.report.pictures import Picture, picture_of
from ncaudit.shards.pick import SampleAddress, pick_samples


def address_of(row: Mapping[str, Any]) -> SampleAddress:
    """Return where a row's sample is; the key as the tar has it."""
    start, stop = row.get("sample_start"), row.get("sample_stop")
    return SampleAddress(
        int(row["sample_index"] if row["sample_index"] is not None else -1),
        str(row["key"] or ""),
        -1 if start is None else int(start),
        -1 if stop is None else int(stop),
    )


def pictures_of(
    shard: ScoredShard, addresses: Iterable[SampleAddress], longest_px: int
) -> dict[SampleAddress, Picture]:
    """Return the pictures of some samples of one shard; those that are gone say so."""
    wanted = list(addresses)
    found = dict.fromkeys(wanted, picture_of(None, longest_px))
    try:
        for address, sample in pick_samples(shard.path, wanted):
            found[address] = picture_of(sample, longest_px)
    except (OSError, InputError):
        # One shard that is gone takes its pictures from the page, not the page.
        return found
    return found


def all_pictures(
    shards: Sequence[ScoredShard],
    wanted: Mapping[int, Sequence[SampleAddress]],
    longest_px: int,
) -> dict[tuple[int, SampleAddress], Picture]:
    """Return the pictures of samples of several shards, read by a few threads.

    Args:
        shards: Of the run.
        wanted: Position of a shard to addresses in it.
        longest_px: Longer side of each picture.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = pool.map(lambda at: pictures_of(shards[at], wanted[at], longest_px), wanted)
        return {
            (at, address): picture
            for at, pictures in zip(wanted, found, strict=True)
            for address, picture in pictures.items()
        }
