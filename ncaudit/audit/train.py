"""Fit a model on some shards and keep it for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncaudit.audit.embed import embed_shards, open_embedder, settle_times
from ncaudit.audit.fit_sample import draw_sample
from ncaudit.audit.full_disk import full_disk_is_deliberate
from ncaudit.audit.gather_known import check_known, gather_known
from ncaudit.audit.obtain_model import Fitter
from ncaudit.audit.run_directory import digest_model, identity
from ncaudit.audit.run_record import finite, run_record
from ncaudit.audit.stages import StageProgress, Stages
from ncaudit.config import ScoreConfig
from ncaudit.embeddings.cache import CachedShard
from ncaudit.engine import open_engine
from ncaudit.engine.base import EngineOptions
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import FitError
from ncaudit.files import write_json
from ncaudit.shards.discover import discover_shards

RECORD_NAME = "train.json"
_IN_PROCESS = EngineOptions()


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a training did.

    Attributes:
        n_pairs: Pairs of the shards.
        n_scored: Those that could be embedded.
        n_fit: Those the model was fitted on.
        model: What the model says about itself: estimated noise rate, self-check.
        defects: Shard to why it could not be read, or only in part.
    """

    n_pairs: int
    n_scored: int
    n_fit: int
    model: dict[str, Any]
    defects: dict[str, str]


def train_model(
    config: ScoreConfig,
    out: Path,
    cache: Path,
    progress: StageProgress | None = None,
    *,
    engine: EngineOptions = _IN_PROCESS,
) -> TrainSummary:
    """Fit a model on the pairs of some shards and write it to `out`.

    Calling it again goes on where an earlier call stopped. The shards are never touched.

    Args:
        config: Settings; `model` is not used.
        out: Folder of the model, as `ScoreConfig.model` takes it.
        cache: Folder of the embedding cache.
        progress: Who is told how far it is.
        engine: Where shards are embedded; decides no number.

    Raises:
        FitError: If the pairs are too few or degenerate; no model is written.
        InputError: If there are no shards, or not one of them can be read.
        OutputExistsError: If `out` belongs to another run, or is in use.
        ShardsFailedError: If the disk is full; the same call goes on later.
        WeightsError: If the encoder's weights are missing.
    """
    stages, ledger = Stages(progress), Ledger(out)
    shards = settle_times(discover_shards(config.shards), cache)
    check_known(config)
    embedder = open_embedder(config, cache)
    card = embedder.encoder.card
    with full_disk_is_deliberate(out), ledger.claim():
        ledger.begin(identity("train", config, embedder, shards))
        with open_engine(engine, embedder.device) as running:
            cached = embed_shards(shards, embedder, running, ledger, stages)
            known = gather_known(config, cached, embedder, running, stages)
        tallies = [shard.tally for shard in cached]
        sample = draw_sample(tallies, config.fit.fit_pairs, config.seed)
        if sample.n_pairs < config.fit.min_pairs:
            raise FitError(
                f"{sample.n_pairs} scored pairs are too few to fit a model on",
                hint=f"At least {config.fit.min_pairs} are needed.",
            )
        model = Fitter(out, ledger, cache, stages).fit(sample, cached, config.fit, card, known)
        stages.finish()
        record = run_record(config, embedder, cached, stages, digest_model(out))
        write_json(out / RECORD_NAME, record)
    return _summary(cached, sample.n_pairs, finite(model.summary))


def _summary(cached: Sequence[CachedShard], n_fit: int, model: dict[str, Any]) -> TrainSummary:
    tallies = [shard.tally for shard in cached]
    return TrainSummary(
        n_pairs=sum(tally.n_pairs for tally in tallies),
        n_scored=sum(tally.n_scored for tally in tallies),
        n_fit=n_fit,
        model=model,
        defects={tally.shard: tally.defect for tally in tallies if tally.defect},
    )
