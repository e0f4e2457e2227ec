"""Score every pair of some shards: embed, fit, score, merge, each step resumable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.embed import Embedder, embed_shards, open_embedder, settle_times
from ncaudit.audit.fit_sample import draw_sample
from ncaudit.audit.full_disk import full_disk_is_deliberate
from ncaudit.audit.model import AuditModel
from ncaudit.audit.obtain_model import Fitter, fit_key, keep_given_model, load_given_model
from ncaudit.audit.rematch import Rematcher, filled_sizes
from ncaudit.audit.run_directory import RunDirectory, digest_model, identity
from ncaudit.audit.run_record import run_record, summarise
from ncaudit.audit.stages import StageProgress, Stages
from ncaudit.audit.tables import shard_table
from ncaudit.config import ScoreConfig
from ncaudit.embeddings.cache import CachedShard, read_embeddings
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import FitError, ShardsFailedError
from ncaudit.files import digest_json, remove_tree, write_json
from ncaudit.matching.pairs import Pairs
from ncaudit.report.audit_csv import merge_csv
from ncaudit.report.parts import write_part
from ncaudit.report.summary import Summary, read_summary, write_summary
from ncaudit.shards.discover import discover_shards

_STAGE = "score"
_MAX_LISTED = 20


def score_shards(
    config: ScoreConfig,
    out: Path,
    progress: StageProgress | None = None,
    *,
    overwrite: bool = False,
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

    Raises:
        ConfigError: If settings disagree, or `--model` is for another encoder.
        InputError: If there are no shards, or not one of them can be read.
        OutputExistsError: If `out` belongs to another run, or is in use.
        ShardsFailedError: If the disk is full; the same call goes on later.
        WeightsError: If the encoder's weights are missing.
    """
    stages, run, ledger = Stages(progress), RunDirectory(out), Ledger(out)
    shards = settle_times(discover_shards(config.shards), run.embeddings)
    embedder = open_embedder(config, run.embeddings)
    given = load_given_model(Path(config.model), embedder.encoder.card) if config.model else None
    job = _Job(config, run, embedder, given, ledger, stages)
    with full_disk_is_deliberate(out), ledger.claim():
        ledger.begin(identity("score", config, embedder, shards), overwrite=overwrite)
        if overwrite:
            run.clear()
        if run.is_complete(shards):
            return read_summary(run.summary)
        # Without run.json nobody takes what is being written for a finished run.
        run.run_json.unlink(missing_ok=True)
        cached = embed_shards(shards, embedder, ledger, stages)
        scorer, problem = _obtain(job, cached)
        _score_all(job, cached, scorer)
        rematcher = Rematcher(run, config.rematch, ledger, stages, config.seed)
        about = rematcher.rematch(cached, scorer.model, scorer.key)
        return _finish(job, cached, _Outcome(scorer.model, problem, about))


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
    ledger: Ledger
    stages: Stages


@dataclass(frozen=True, slots=True)
class _Scorer:
    """A model and the digest of all that went into it."""

    model: AuditModel | None
    key: str


def _obtain(job: _Job, cached: Sequence[CachedShard]) -> tuple[_Scorer, str]:
    """Return what to score with, and why that is not a full model, or ""."""
    if job.given is not None:
        kept = keep_given_model(job.given, job.run.model)
        return _Scorer(kept, digest_model(job.run.model)), ""
    config, card = job.config, job.embedder.encoder.card
    sample = draw_sample([x.tally for x in cached], config.fit.fit_pairs, config.seed)
    key = fit_key(cached, config.fit, card, config.seed)
    fitter = Fitter(job.run.model, job.ledger, job.run.embeddings, job.stages)
    try:
        model = fitter.fit(sample, cached, config.fit, card)
    except FitError as error:
        remove_tree(job.run.model)
        return _Scorer(None, key), str(error)
    scorer = _Scorer(model, digest_json([key, digest_model(job.run.model)]))
    if sample.n_pairs < config.fit.min_pairs:
        few = f"{sample.n_pairs} scored pairs are too few to fit a model on"
        return scorer, f"{few}: at least {config.fit.min_pairs} are needed"
    return scorer, ""


def _score_all(job: _Job, cached: Sequence[CachedShard], scorer: _Scorer) -> None:
    job.stages.stage(_STAGE, sum(shard.tally.n_pairs for shard in cached))
    filled = filled_sizes(job.run, job.ledger, [shard.tally.shard for shard in cached])
    for shard in cached:
        name = shard.tally.shard
        part = job.run.part(name)
        key = digest_json([scorer.key, shard.sha256, shard.key, __version__])
        done = job.ledger.done(_STAGE, name, key)
        # With its proposals a part has another size.
        sizes = (done.get("n_bytes"), filled.get(name)) if done else ()
        if not part.is_file() or part.stat().st_size not in sizes:
            _score_shard(job, shard, scorer)
            # A shard that could not be read may say something else the next time.
            if shard.sha256:
                job.ledger.commit(_STAGE, name, key, {"n_bytes": part.stat().st_size})
        job.stages.advance(shard.tally.n_pairs)


def _score_shard(job: _Job, shard: CachedShard, scorer: _Scorer) -> None:
    folder = job.embedder.folder(shard.tally.shard)
    scores = None
    if scorer.model is not None and shard.tally.n_scored:
        part = read_embeddings(folder)
        pairs = Pairs(part.image, part.caption, part.image_id, part.caption_id)
        scores = scorer.model.score(pairs)
    table = shard_table(shard.tally.shard, folder, scores)
    if len(table["key"]) != shard.tally.n_pairs:
        raise ValueError(
            f"{shard.tally.shard}: {len(table['key'])} rows for {shard.tally.n_pairs} pairs"
        )
    write_part(job.run.part(shard.tally.shard), table)


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
    record = run_record(job.config, job.embedder, cached, stages.seconds, digest, outcome.rematch)
    write_json(run.run_json, record)
    return summary
