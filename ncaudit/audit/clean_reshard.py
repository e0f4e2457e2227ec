"""Kept samples of all shards into even tars, in their order."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.clean_moves import Load, check_samples, kept_moves, with_same_members, write_tar
from ncaudit.audit.clean_plan import ShardPlan
from ncaudit.audit.clean_rows import kept_rows
from ncaudit.audit.clean_shard import CleanJob, files_of, plan_of
from ncaudit.audit.sidecars import write_pairs, write_stats
from ncaudit.shards.copy import open_tar_bytes
from ncaudit.types import Ints


@dataclass(frozen=True, slots=True)
class Piece:
    """Some neighbouring kept samples of one shard.

    Attributes:
        job: How the shard is cleaned.
        start: Number of its kept samples before the first one.
        stop: That number after the last one.
    """

    job: CleanJob
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Pack:
    """What goes into one new tar.

    Attributes:
        shard: Name of the tar, without suffix.
        out: Folder of the cleaned shards.
        pieces: Where its samples come from, in order.
    """

    shard: str
    out: Path
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class PackTally:
    """What is in one new tar.

    Attributes:
        shard: Name of the tar, without suffix.
        n_samples: Its samples.
        n_pairs: Their pairs.
        n_renamed: Samples whose key another one of the tar had before them.
    """

    shard: str
    n_samples: int
    n_pairs: int
    n_renamed: int


def pack_name(number: int) -> str:
    """Return the name of the new tar of a number, without suffix."""
    return f"{number:05d}"


def plan_packs(jobs: Sequence[CleanJob], n_kept: Sequence[int], size: int) -> list[Pack]:
    """Divide the kept samples into tars of `size` samples; the last one has the rest.

    Args:
        jobs: The shards in order, at least one.
        n_kept: Kept samples of each.
        size: Samples per tar.
    """
    bounds = [0, *accumulate(n_kept)]
    packs = []
    for number, start in enumerate(range(0, bounds[-1], size)):
        stop = min(start + size, bounds[-1])
        pieces = tuple(
            Piece(jobs[i], max(start - bounds[i], 0), min(stop, bounds[i + 1]) - bounds[i])
            for i in range(bisect_right(bounds, start) - 1, bisect_left(bounds, stop))
            if n_kept[i]
        )
        packs.append(Pack(pack_name(number), jobs[0].out, pieces))
    return packs


def key_tags(keys: Iterable[str]) -> list[str]:
    """Return what to append to each key so that no two are the same; "" for most.

    The first one of a key keeps it.
    """
    keys = list(keys)
    taken, seen = set(keys), set[str]()
    tags = []
    for key in keys:
        tag, n = "", 0
        while key + tag in (taken if tag else seen):
            n += 1
            tag = f"_{n}"
        (taken if tag else seen).add(key + tag)
        tags.append(tag)
    return tags


class Packer:
    """Writes packs in order; holds the plans of one pack's shards, so that none is made twice."""

    def __init__(self) -> None:
        self._plans: dict[str, ShardPlan] = {}

    def write(self, pack: Pack) -> PackTally:
        """Write a pack's tar and the files beside it; each appears only when it is complete.

        Raises:
            ShardsFailedError: If a tar does not hold the samples that were scored.
            InputError: If a tar is damaged where it was not before.
            OSError: If a file cannot be read or written.
        """
        names = [piece.job.shard.name for piece in pack.pieces]
        self._plans = {
            name: self._plans.get(name) or plan_of(piece.job)
            for name, piece in zip(names, pack.pieces, strict=True)
        }
        chosen = [_chosen(self._plans[piece.job.shard.name], piece) for piece in pack.pieces]
        plans = [self._plans[name] for name in names]
        tags = key_tags(
            plan.keys[i] for plan, rows in zip(plans, chosen, strict=True) for i in rows
        )
        tar, parquet, stats = files_of(pack.out, pack.shard)
        _write_tar(tar, pack, plans, chosen, tags)
        table, more = _table(pack, plans, chosen, tags)
        write_pairs(parquet, table, more=more)
        n_renamed = sum(bool(tag) for tag in tags)
        tally = PackTally(pack.shard, len(tags), table.num_rows, n_renamed)
        write_stats(stats, ["success"] * len(tags), len(tags), asdict(tally))
        return tally


def _chosen(plan: ShardPlan, piece: Piece) -> Ints:
    return np.flatnonzero(plan.kept)[piece.start : piece.stop]


def _write_tar(
    path: Path, pack: Pack, plans: list[ShardPlan], chosen: list[Ints], tags: list[str]
) -> None:
    tag = iter(tags)
    with ExitStack() as open_tars:
        loads: list[Load] = []
        for piece, plan, samples in zip(pack.pieces, plans, chosen, strict=True):
            job = piece.job
            source = open_tars.enter_context(open_tar_bytes(job.shard.path))
            check_samples(job.shard.name, source, plan, samples)
            moves = kept_moves(source, plan, job.captions, samples)
            loads.append((source, [replace(move, key_tag=next(tag)) for move in moves]))
        write_tar(path, with_same_members(loads))


def _table(
    pack: Pack, plans: list[ShardPlan], chosen: list[Ints], tags: list[str]
) -> tuple[Any, dict[str, Any]]:
    """Return the rows of a new tar, and the columns to add: where each pair comes from."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = []
    tag = iter(tags)
    for piece, plan, samples in zip(pack.pieces, plans, chosen, strict=True):
        of_sample = np.full(plan.n_samples, None, object)
        of_sample[samples] = [next(tag) for _ in samples]
        tag_of = np.full(len(plan.outcome), None, object)
        tag_of[: plan.first[-1]] = np.repeat(of_sample, np.diff(plan.first))
        mask = plan.stays & (tag_of != None)  # noqa: E711 - elementwise
        rows, more = kept_rows(plan, mask, piece.job.rules)
        more |= {
            "source_shard": pa.array([piece.job.shard.name] * rows.num_rows, pa.string()),
            "source_key": rows["key"],
        }
        tagged = pc.binary_join_element_wise(rows["key"], pa.array(tag_of[mask], pa.string()), "")
        rows = rows.set_column(rows.column_names.index("key"), "key", tagged)
        tables.append((rows, pa.table(more)))
    added = pa.concat_tables([more for _, more in tables])
    columns = dict(zip(added.column_names, added.columns, strict=True))
    return pa.concat_tables([rows for rows, _ in tables]), columns
