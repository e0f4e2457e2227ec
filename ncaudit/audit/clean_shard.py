"""One shard into its cleaned and its rejected tar, bytes copied, every pair accounted for."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.clean_plan import PLAN_COLUMNS, ShardPlan, plan_shard
from ncaudit.audit.decide import Human, Outcome
from ncaudit.audit.scored_run import ScoredShard
from ncaudit.audit.sidecars import write_pairs, write_stats
from ncaudit.audit.verdicts import PairId
from ncaudit.errors import ShardsFailedError
from ncaudit.files import atomic_path, open_read
from ncaudit.report.parts import read_part
from ncaudit.shards.copy import copy_samples, end_archive, open_tar_bytes, rewrite_sample
from ncaudit.shards.discover import REJECTED_FOLDER
from ncaudit.shards.read import read_samples
from ncaudit.shards.recaption import drop_captions, rewrite_members
from ncaudit.shards.samples import Sample, ShardDefect
from ncaudit.types import Status


@dataclass(frozen=True, slots=True)
class CleanJob:
    """What is needed to clean one shard.

    Attributes:
        shard: The shard and its scores.
        out: Folder of the cleaned shards.
        captions: Where captions are, as in `pairs_of`.
        threshold: Pairs with `p_mismatch >= threshold` leave.
        verdicts: What people said about pairs of this shard.
    """

    shard: ScoredShard
    out: Path
    captions: str
    threshold: float
    verdicts: dict[PairId, Human] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CleanTally:
    """What became of one shard: every pair is kept, dropped or rejected.

    Attributes:
        shard: Name of the shard.
        n_pairs: Pairs of the shard.
        n_kept: Pairs in the cleaned tar.
        n_dropped: Scored pairs that left.
        n_rejected: Pairs that could not be scored.
        n_samples: Samples of the shard.
        n_samples_kept: Samples in the cleaned tar.
        n_samples_rejected: Samples in the rejected tar.
        n_rewritten: Kept samples that lost some of their captions.
        n_cut: Samples that the end of a damaged tar cut; only part of them is copied.
        mismatches_removed: Sum of `p_mismatch` over the dropped pairs.
        good_lost: Sum of 1 - `p_mismatch` over the dropped pairs.
        mismatches_left: Sum of `p_mismatch` over the kept pairs.
    """

    shard: str
    n_pairs: int
    n_kept: int
    n_dropped: int
    n_rejected: int
    n_samples: int
    n_samples_kept: int
    n_samples_rejected: int
    n_rewritten: int
    n_cut: int
    mismatches_removed: float
    good_lost: float
    mismatches_left: float

    def __post_init__(self) -> None:
        parts = self.n_kept + self.n_dropped + self.n_rejected
        if (
            parts != self.n_pairs
            or self.n_samples_kept + self.n_samples_rejected != self.n_samples
        ):
            raise ValueError(f"{self.shard}: pairs or samples are unaccounted for: {self}")


def outputs_of(out: Path, shard: str) -> tuple[Path, ...]:
    """Return every file that cleaning a shard may write; either tar may be absent."""
    return tuple(
        folder / f"{shard}{suffix}"
        for folder in (out, out / REJECTED_FOLDER)
        for suffix in (".tar", ".parquet", "_stats.json")
    )


def clean_shard(job: CleanJob) -> CleanTally:
    """Write what `outputs_of` lists; each file appears only when it is complete.

    A sample stays while one of its captions stays; captions that leave it leave its
    `.json` and `.txt`. Other samples go to the rejected tar with the reasons in their
    json. A tar without samples is not written.

    Raises:
        ShardsFailedError: If the tar does not hold the samples that were scored.
        InputError: If the tar is damaged where it was not before.
        OSError: If a file cannot be read or written.
    """
    table = read_part(job.shard.part)
    plan = plan_shard(job.shard.name, table.select(PLAN_COLUMNS), job.threshold, job.verdicts)
    kept, rejected = _read_tar(job, plan)
    tar, parquet, stats, *of_rejected = outputs_of(job.out, job.shard.name)
    with open_tar_bytes(job.shard.path) as source:
        _write_tar(tar, source, kept)
        _write_tar(of_rejected[0], source, rejected)
    tally = _tally(job.shard.name, plan, kept, rejected)
    is_kept = plan.outcome == Outcome.KEPT
    write_pairs(parquet, table.filter(is_kept))
    write_pairs(
        of_rejected[1], table.filter(~is_kept), dropped=plan.outcome[~is_kept] == Outcome.DROPPED
    )
    note = asdict(tally) | {"threshold": job.threshold}
    labels = [plan.label(index) for index in range(tally.n_samples)]
    write_stats(stats, labels, tally.n_samples_kept, note)
    rejected_labels = [label for label in labels if label != "success"]
    write_stats(of_rejected[2], rejected_labels, tally.n_samples_rejected, note)
    return tally


@dataclass(frozen=True, slots=True)
class _Move:
    """One sample on its way into a tar.

    Attributes:
        span: (start, stop) in the source.
        content: New content of the members that change, by suffix.
        note: What its json is to say under `ncaudit`, or None for a kept sample.
        is_cut: The source ends within the sample.
    """

    span: tuple[int, int]
    content: dict[str, bytes] = field(default_factory=dict)
    note: dict[str, Any] | None = None
    is_cut: bool = False


def _read_tar(job: CleanJob, plan: ShardPlan) -> tuple[list[_Move], list[_Move]]:
    """Find every sample in the tar again; returns those kept and those rejected."""
    kept: list[_Move] = []
    rejected: list[_Move] = []
    n_samples = 0
    with open_read(job.shard.path) as file:
        for sample in read_samples(file):
            if isinstance(sample, ShardDefect):
                break
            n_samples += 1
            if sample.index >= plan.n_samples:
                continue
            move = _move(job, plan, sample)
            (kept if move.note is None else rejected).append(move)
    if n_samples != plan.n_samples:
        raise ShardsFailedError(
            f"{job.shard.name} has {n_samples} samples, but {plan.n_samples} were scored",
            hint="Score the shards again into a new folder, then clean that run.",
        )
    return kept, rejected


def _move(job: CleanJob, plan: ShardPlan, sample: Sample) -> _Move:
    scored_key = plan.key_of(sample.index)
    if scored_key != sample.key:
        raise ShardsFailedError(
            f"{job.shard.name}: sample {sample.index} is {sample.key!r}, not {scored_key!r}"
        )
    span = (sample.start, sample.stop)
    stays = plan.stays(sample.index)
    if not stays.any():
        is_cut = sample.reject == Status.SHARD_TRUNCATED
        return _Move(span, note=plan.note(sample.index), is_cut=is_cut)
    if stays.all():
        return _Move(span)
    leave = plan.leaving(sample.index)
    return _Move(span, content=drop_captions(sample, leave, job.captions))


def _write_tar(path: Path, source: Any, moves: Sequence[_Move]) -> None:
    if not moves:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary, temporary.open("wb") as target:
        if not any(move.content or move.note for move in moves):
            copy_samples(source, [move.span for move in moves], target)
            return
        for move in moves:
            if move.note is None:
                rewrite_members(source, move.span, move.content, target)
            else:
                rewrite_sample(source, move.span, move.note, target)
        end_archive(target)


def _tally(
    shard: str, plan: ShardPlan, kept: Sequence[_Move], rejected: Sequence[_Move]
) -> CleanTally:
    dropped = plan.p_mismatch[plan.outcome == Outcome.DROPPED]
    return CleanTally(
        shard=shard,
        n_pairs=len(plan.outcome),
        n_kept=int((plan.outcome == Outcome.KEPT).sum()),
        n_dropped=len(dropped),
        n_rejected=int((plan.outcome == Outcome.REJECTED).sum()),
        n_samples=plan.n_samples,
        n_samples_kept=len(kept),
        n_samples_rejected=len(rejected),
        n_rewritten=sum(bool(move.content) for move in kept),
        n_cut=sum(move.is_cut for move in rejected),
        mismatches_removed=float(np.nansum(dropped)),
        good_lost=float(np.nansum(1.0 - dropped)),
        mismatches_left=float(np.nansum(plan.p_mismatch[plan.outcome == Outcome.KEPT])),
    )
