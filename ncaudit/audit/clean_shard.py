"""One shard into its cleaned and its rejected tar, bytes copied, every pair accounted for."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from ncaudit.audit.clean_moves import (
    Move,
    check_samples,
    kept_moves,
    rejected_moves,
    with_same_members,
    write_tar,
)
from ncaudit.audit.clean_plan import Rules, ShardPlan, plan_shard
from ncaudit.audit.clean_rows import kept_rows
from ncaudit.audit.decide import Human, Outcome
from ncaudit.audit.scored_run import ScoredShard
from ncaudit.audit.sidecars import write_pairs, write_stats
from ncaudit.audit.verdicts import PairId
from ncaudit.report.parts import read_part
from ncaudit.shards.copy import open_tar_bytes
from ncaudit.shards.discover import REJECTED_FOLDER
from ncaudit.shards.sidecar import PREFIX


@dataclass(frozen=True, slots=True)
class CleanJob:
    """What is needed to clean one shard.

    Attributes:
        shard: The shard and its scores.
        out: Folder of the cleaned shards.
        captions: Where captions are, as in `pairs_of`.
        rules: What decides where people are silent.
        verdicts: What people said about pairs of this shard.
        writes_kept: Whether kept samples go into a tar of the shard's name; otherwise
            only the rejected ones are written.
    """

    shard: ScoredShard
    out: Path
    captions: str
    rules: Rules
    verdicts: dict[PairId, Human] = field(default_factory=dict)
    writes_kept: bool = True


@dataclass(frozen=True, slots=True)
class CleanTally:
    """What became of one shard: every pair is kept, dropped or rejected.

    A pair that got another caption is kept.

    Attributes:
        shard: Name of the shard.
        n_pairs: Pairs of the shard.
        n_kept: Pairs in the cleaned tar, rematched ones included.
        n_rematched: Kept pairs whose caption was replaced by the proposed one.
        n_dropped: Scored pairs that left.
        n_rejected: Pairs that could not be scored.
        n_samples: Samples of the shard.
        n_samples_kept: Samples in the cleaned tar.
        n_samples_rejected: Samples in the rejected tar.
        n_rewritten: Kept samples that lost some of their captions.
        n_cut: Samples that the end of a damaged tar cut; only part of them is copied.
        mismatches_removed: Sum of `p_mismatch` over the dropped and the rematched pairs.
        good_lost: Sum of 1 - `p_mismatch` over the same pairs.
        mismatches_left: Sum of `p_mismatch` over the kept pairs; of a rematched pair
            that of the new one.
    """

    shard: str
    n_pairs: int
    n_kept: int
    n_rematched: int
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
            or self.n_rematched > self.n_kept
            or self.n_samples_kept + self.n_samples_rejected != self.n_samples
        ):
            raise ValueError(f"{self.shard}: pairs or samples are unaccounted for: {self}")


def outputs_of(out: Path, shard: str) -> tuple[Path, ...]:
    """Return every file that cleaning a shard may write; either tar may be absent."""
    return (*files_of(out, shard), *files_of(out / REJECTED_FOLDER, shard))


def files_of(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of a tar, of its rows, and of its counts."""
    return folder / f"{name}.tar", folder / f"{name}.parquet", folder / f"{name}_stats.json"


def plan_of(job: CleanJob) -> ShardPlan:
    """Decide the pairs of a job's shard.

    Raises:
        ShardsFailedError: If the part cannot be trusted.
    """
    rows = read_part(job.shard.part)
    # Shards differ in what lay beside them; their rows may come together in one tar.
    rows = rows.drop_columns([name for name in rows.column_names if name.startswith(PREFIX)])
    return plan_shard(job.shard.name, rows, job.rules, job.verdicts)


def clean_shard(job: CleanJob) -> CleanTally:
    """Write what `outputs_of` lists; each file appears only when it is complete.

    A sample stays while one of its captions stays; captions that leave it leave its
    `.json` and `.txt`, and proposals that are used take the place of the old caption.
    Other samples go to the rejected tar with the reasons in their json. A tar without
    samples is not written.

    Raises:
        ShardsFailedError: If the tar does not hold the samples that were scored.
        InputError: If the tar is damaged where it was not before.
        OSError: If a file cannot be read or written.
    """
    plan = plan_of(job)
    rejected = rejected_moves(plan)
    of_rejected = files_of(job.out / REJECTED_FOLDER, job.shard.name)
    tally = _tally(job.shard.name, plan, rejected)
    with open_tar_bytes(job.shard.path) as source:
        check_samples(job.shard.name, source, plan, np.arange(plan.n_samples))
        if job.writes_kept:
            _write_kept(job, plan, source, tally)
        write_tar(of_rejected[0], [(source, rejected)])
    left = ~plan.stays
    dropped = plan.outcome[left] == Outcome.DROPPED
    write_pairs(of_rejected[1], plan.rows.filter(left), dropped=dropped)
    labels = [label for label in plan.labels() if label != "success"]
    write_stats(of_rejected[2], labels, tally.n_samples_rejected, _note(job, tally))
    return tally


def _write_kept(job: CleanJob, plan: ShardPlan, source: IO[bytes], tally: CleanTally) -> None:
    tar, parquet, stats = files_of(job.out, job.shard.name)
    moves = kept_moves(source, plan, job.captions, np.flatnonzero(plan.kept))
    write_tar(tar, with_same_members([(source, moves)]))
    rows, more = kept_rows(plan, plan.stays, job.rules)
    write_pairs(parquet, rows, more=more)
    write_stats(stats, plan.labels(), tally.n_samples_kept, _note(job, tally))


def _note(job: CleanJob, tally: CleanTally) -> dict[str, object]:
    return asdict(tally) | {"threshold": job.rules.threshold}


def _tally(shard: str, plan: ShardPlan, rejected: Sequence[Move]) -> CleanTally:
    is_rematched = plan.outcome == Outcome.REMATCHED
    kept_as_is = plan.p_mismatch[plan.outcome == Outcome.KEPT]
    left = plan.p_mismatch[(plan.outcome == Outcome.DROPPED) | is_rematched]
    new = plan.rows["rematch_p_mismatch"].to_numpy()[is_rematched]
    loses_some = plan.kept & (plan.count(Outcome.DROPPED) + plan.count(Outcome.REJECTED) > 0)
    return CleanTally(
        shard=shard,
        n_pairs=len(plan.outcome),
        n_kept=int(plan.stays.sum()),
        n_rematched=int(is_rematched.sum()),
        n_dropped=int((plan.outcome == Outcome.DROPPED).sum()),
        n_rejected=int((plan.outcome == Outcome.REJECTED).sum()),
        n_samples=plan.n_samples,
        n_samples_kept=int(plan.kept.sum()),
        n_samples_rejected=len(rejected),
        n_rewritten=int(loses_some.sum()),
        n_cut=sum(move.is_cut for move in rejected),
        mismatches_removed=float(np.nansum(left)),
        good_lost=float(np.nansum(1.0 - left)),
        mismatches_left=float(np.nansum(kept_as_is) + np.nansum(new)),
    )
