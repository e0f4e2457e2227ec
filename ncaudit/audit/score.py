"""Score every pair of some shards: embed, fit, score, merge, each step resumable."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.checkpoint import load_model
from ncaudit.audit.embed import (
    Embedder,
    embed_missing,
    embed_shards,
    make_torch_repeatable,
    open_embedder,
    settle_times,
)
from ncaudit.audit.extra_signals import extra_columns, load_signals, versions_of
from ncaudit.audit.fit_sample import draw_sample
from ncaudit.audit.full_disk import full_disk_is_deliberate
from ncaudit.audit.gather_known import check_known, gather_known
from ncaudit.audit.model import AuditModel
from ncaudit.audit.obtain_model import Fitter, fit_key, keep_given_model, load_given_model
from ncaudit.audit.rematch import Rematcher, filled_sizes
from ncaudit.audit.run_directory import RunDirectory, digest_model, identity
from ncaudit.audit.run_record import run_record, summarise
from ncaudit.audit.sidecar_columns import sidecar_columns
from ncaudit.audit.stages import StageProgress, Stages
from ncaudit.audit.tables import shard_table
from ncaudit.config import ScoreConfig
from ncaudit.embeddings.cache import CachedShard, read_embeddings, read_marker
from ncaudit.engine import open_engine
from ncaudit.engine.base import Engine, EngineOptions, Failure, OnProgress, Record
from ncaudit.engine.ledger import Ledger
from ncaudit.engine.ranks import END, Leader, Rank, find_rank, follow, lead
from ncaudit.errors import FitError, ShardsFailedError
from ncaudit.files import digest_json, remove_tree, write_json
from ncaudit.matching.pairs import Pairs
from ncaudit.report.audit_csv import merge_csv
from ncaudit.report.parts import write_part
from ncaudit.report.summary import Summary, read_summary, write_summary
from ncaudit.shards.discover import discover_shards
from ncaudit.shards.sidecar import sidecar_stamp
from ncaudit.signals.base import Signal
from ncaudit.types import ShardRef, ShardTally

log = logging.getLogger(__name__)
_STAGE = "score"
_MAX_LISTED = 20
_IN_PROCESS = EngineOptions()
_FITTED = "fitted"


def score_shards(
    config: ScoreConfig,
    out: Path,
    progress: StageProgress | None = None,
    *,
    overwrite: bool = False,
    engine: EngineOptions = _IN_PROCESS,
) -> Summary:
    """Score every pair and write the run directory; never touches the shards.

    Calling it again goes on where an earlier call stopped, and does nothing where all is
    done. See `raise_for_problems` for what the summary may tell beside numbers.

    Args:
        config: Settings.
        out: Folder of the run.
        progress: Who is told how far it is.
        overwrite: Start again where `out` holds another run; embeddings that still fit
            are kept.
        engine: Where shards are embedded and scored; decides no number.

    Raises:
        ConfigError: If settings disagree, or `--model` is for another encoder.
        InputError: If there are no shards, or not one of them can be read.
        OutputExistsError: If `out` belongs to another run, or is in use.
        ShardsFailedError: If the disk is full; the same call goes on later.
        WeightsError: If the encoder's weights are missing.
    """
    stages, run, ledger = Stages(progress), RunDirectory(out), Ledger(out)
    shards = settle_times(discover_shards(config.shards), run.embeddings)
    check_known(config)
    load_signals(config.extra_signals)  # before anything is done for a name that is wrong
    embedder = open_embedder(config, run.embeddings)
    given = load_given_model(Path(config.model), embedder.encoder.card) if config.model else None
    whole = identity("score", config, embedder, shards)
    rank = find_rank(os.environ) if engine.name == "local" else None
    with open_engine(engine, embedder.device) as running:
        job = _Job(config, run, embedder, given, running, ledger, stages)
        if rank is not None and rank.index:
            return _follow(job, shards, rank, digest_json(whole))
        with full_disk_is_deliberate(out), ledger.claim():
            ledger.begin(whole, overwrite=overwrite)
            if overwrite:
                run.clear()
            with lead(rank, out, digest_json(whole)) as leader:
                return _lead(job, shards, leader)


def raise_for_problems(summary: Summary) -> None:
    """Raise what the exit code of a finished run is to tell.

    Raises:
        FitError: If no model could be fitted.
        ShardsFailedError: If some shards could not be read, or only in part.
    """
    if summary.fit_problem:
        raise FitError(
            "\n".join([summary.fit_problem, *_listed(summary.defects)]),
            hint="Score more pairs at a time, or use a fitted model with --model.",
        )
    raise_for_defects(summary.defects)


def raise_for_defects(defects: Mapping[str, str]) -> None:
    """Raise if some shards could not be read, or only in part.

    Raises:
        ShardsFailedError: With the shards and their defects.
    """
    if defects:
        what = f"{len(defects)} shards could not be read, or only in part:"
        raise ShardsFailedError(
            "\n".join([what, *_listed(defects)]),
            hint="Everything else is done. Repair these shards and name another folder.",
        )


def _listed(defects: Mapping[str, str]) -> list[str]:
    return [f"  {shard}: {defect}" for shard, defect in list(defects.items())[:_MAX_LISTED]]


@dataclass(frozen=True, slots=True)
class _Job:
    """Settings made concrete, and where things are."""

    config: ScoreConfig
    run: RunDirectory
    embedder: Embedder
    given: AuditModel | None
    engine: Engine
    ledger: Ledger
    stages: Stages


@dataclass(frozen=True, slots=True)
class _Scorer:
    """A model and the digest of all that went into it."""

    model: AuditModel | None
    key: str


def _lead(job: _Job, shards: Sequence[ShardRef], leader: Leader | None) -> Summary:
    """Do everything, together with the ranks that follow `leader`."""
    run = job.run
    if run.is_complete(shards):
        return read_summary(run.summary)
    # Without run.json nobody takes what is being written for a finished run.
    run.run_json.unlink(missing_ok=True)
    if leader is not None:
        job = replace(job, engine=leader.share(job.engine))
    cached = embed_shards(shards, job.embedder, job.engine, job.ledger, job.stages)
    scorer, problem = _obtain(job, cached)
    if leader is not None:
        leader.say(_FITTED, {"key": scorer.key, "has_model": scorer.model is not None})
    _score_all(job, cached, scorer)
    rematcher = Rematcher(run, job.config.rematch, job.ledger, job.stages, job.config.seed)
    about = rematcher.rematch(cached, scorer.model, scorer.key)
    return _finish(job, cached, _Outcome(scorer.model, problem, about))


def _follow(job: _Job, shards: Sequence[ShardRef], rank: Rank, whole: str) -> Summary:
    """Do this rank's share of the shards, and wait for rank 0 to end the run."""
    with follow(rank, job.run.root, whole) as follower:
        job = replace(job, engine=follower.share(job.engine))
        embed_missing(shards, job.embedder, job.engine, job.stages)
        fitted = follower.hear(_FITTED)
        if fitted is not None:
            folders = [job.embedder.folder(shard.name) for shard in shards]
            cached = [marker for folder in folders if (marker := read_marker(folder))]
            model = load_model(job.run.model) if fitted["has_model"] else None
            _score_all(job, cached, _Scorer(model, fitted["key"]))
        follower.hear(END)
    return read_summary(job.run.summary)


def _obtain(job: _Job, cached: Sequence[CachedShard]) -> tuple[_Scorer, str]:
    """Return what to score with, and why that is not a full model, or ""."""
    if job.given is not None:
        kept = keep_given_model(job.given, job.run.model)
        return _Scorer(kept, digest_model(job.run.model)), ""
    config, card = job.config, job.embedder.encoder.card
    sample = draw_sample([x.tally for x in cached], config.fit.fit_pairs, config.seed)
    known = gather_known(config, cached, job.embedder, job.engine, job.stages)
    key = fit_key(cached, config.fit, card, config.seed, known)
    fitter = Fitter(job.run.model, job.ledger, job.run.embeddings, job.stages)
    try:
        model = fitter.fit(sample, cached, config.fit, card, known)
    except FitError as error:
        remove_tree(job.run.model)
        return _Scorer(None, key), str(error)
    scorer = _Scorer(model, digest_json([key, digest_model(job.run.model)]))
    if sample.n_pairs < config.fit.min_pairs:
        few = f"{sample.n_pairs} scored pairs are too few to fit a model on"
        return scorer, f"{few}: at least {config.fit.min_pairs} are needed"
    return scorer, ""


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """One shard to score.

    Attributes:
        index: Its place among all shards.
        tally: Its counts.
        path: Path or URL of its tar.
        folder: Its folder in the embedding cache.
        part: Where its part goes.
        key: Digest of all that decides the part.
    """

    index: int
    tally: ShardTally
    path: str
    folder: Path
    part: Path
    key: str

    @property
    def name(self) -> str:
        """The shard's name."""
        return self.tally.shard


@dataclass(frozen=True)
class MakeScore:
    """Builds what scores shards.

    Attributes:
        folder: The model's, or None where there is no model.
        key: Digest of the model.
        signals: Signals of other packages.
        aligned: Whether the embeddings are of one space.
        model: The model if it is loaded already; it does not travel to other processes.
    """

    folder: Path | None
    key: str
    signals: tuple[str, ...]
    aligned: bool
    model: AuditModel | None = field(default=None, compare=False)

    def __reduce__(self) -> tuple[type["MakeScore"], tuple[object, ...]]:
        """Pickle everything but the model."""
        return MakeScore, (self.folder, self.key, self.signals, self.aligned)

    def __call__(self, threads: int) -> Callable[[ScoreTask, OnProgress], Record]:
        """Load the model.

        Raises:
            WeightsError: If the model cannot be read here.
        """
        make_torch_repeatable(threads)
        model = self.model or (load_model(self.folder) if self.folder else None)
        return partial(_score_shard, model, load_signals(self.signals), self.aligned)


def _score_all(job: _Job, cached: Sequence[CachedShard], scorer: _Scorer) -> None:
    job.stages.stage(_STAGE, sum(shard.tally.n_pairs for shard in cached))
    filled = filled_sizes(job.run, job.ledger, [shard.tally.shard for shard in cached])
    tasks, signals = [], versions_of(job.config.extra_signals)
    for index, shard in enumerate(cached):
        name = shard.tally.shard
        part = job.run.part(name).absolute()
        stamp = sidecar_stamp(shard.path)
        key = digest_json([scorer.key, shard.sha256, shard.key, stamp, __version__, *signals])
        done = job.ledger.done(_STAGE, name, key)
        # With its proposals a part has another size.
        sizes = (done.get("n_bytes"), filled.get(name)) if done else ()
        if not part.is_file() or part.stat().st_size not in sizes:
            folder = job.embedder.folder(name)
            tasks.append(ScoreTask(index, shard.tally, shard.path, folder, part, key))
        else:
            job.stages.advance(shard.tally.n_pairs)

    def on_done(task: ScoreTask, record: Record) -> None:
        # A shard that could not be read may say something else the next time.
        if cached[task.index].sha256:
            job.ledger.commit(_STAGE, task.name, task.key, record)
        if record["sidecar"]:
            log.warning("%s: the .parquet beside it: %s", task.name, record["sidecar"])
        job.stages.advance(task.tally.n_pairs)

    model = job.run.model.absolute() if scorer.model is not None else None
    aligned = job.embedder.encoder.card.aligned
    make_score = MakeScore(model, scorer.key, job.config.extra_signals, aligned, scorer.model)
    _raise_for_failures(job.engine.run(tasks, make_score, on_done))


def _raise_for_failures(failures: Sequence[Failure]) -> None:
    if failures:
        listed = _listed({failure.name: failure.detail for failure in failures})
        raise ShardsFailedError(
            "\n".join([f"{len(failures)} shards could not be scored:", *listed]),
            hint="Everything else is done; the same command tries these again, "
            "best with fewer --workers.",
        )


def _score_shard(
    model: AuditModel | None,
    signals: Mapping[str, Signal],
    aligned: bool,  # noqa: FBT001 - bound with `partial`
    task: ScoreTask,
    _on_progress: OnProgress,
) -> Record:
    pairs = scores = None
    if task.tally.n_scored and (signals or model is not None):
        part = read_embeddings(task.folder)
        pairs = Pairs(part.image, part.caption, part.image_id, part.caption_id)
    if model is not None and pairs is not None:
        scores = model.score(pairs)
    table = shard_table(task.name, task.folder, scores)
    table |= extra_columns(signals, table, pairs, scores, aligned=aligned)
    if len(table["key"]) != task.tally.n_pairs:
        raise ValueError(f"{task.name}: {len(table['key'])} rows for {task.tally.n_pairs} pairs")
    columns, problem = sidecar_columns(task.path, table)
    write_part(task.part, table | columns)
    return {"n_bytes": task.part.stat().st_size, "sidecar": problem}


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the stages before the last one left.

    Attributes:
        model: The model that scored, or None.
        problem: Why that is not a full model, or "".
        rematch: How proposals were made.
    """

    model: AuditModel | None
    problem: str
    rematch: Mapping[str, Any]


def _finish(job: _Job, cached: Sequence[CachedShard], outcome: _Outcome) -> Summary:
    """Write what covers all shards; run.json last, since it says that all is there."""
    run, stages = job.run, job.stages
    stages.stage("merge", len(cached), "shards")
    parts = [run.part(shard.tally.shard) for shard in cached]
    n_rows = merge_csv(parts, run.audit_csv)
    n_pairs = sum(shard.tally.n_pairs for shard in cached)
    summary = summarise(run, cached, outcome.model, outcome.problem)
    if not n_rows == n_pairs == summary.counts.pairs:
        raise ValueError(f"{n_pairs} pairs, but {n_rows} rows and {summary.counts.pairs} counted")
    write_summary(run.summary, summary)
    stages.advance(len(cached))
    stages.finish()
    digest = digest_model(run.model)
    record = run_record(job.config, job.embedder, cached, stages, digest, outcome.rematch)
    write_json(run.run_json, record)
    return summary
