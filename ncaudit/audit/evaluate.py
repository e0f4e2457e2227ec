"""Measure how well a model's heads retrieve: images by captions and captions by images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.embed import embed_shards, open_embedder, settle_times
from ncaudit.audit.fit_sample import draw_sample, gather_pairs
from ncaudit.audit.full_disk import full_disk_is_deliberate
from ncaudit.audit.model import AuditModel
from ncaudit.audit.obtain_model import load_given_model
from ncaudit.audit.run_directory import identity
from ncaudit.audit.stages import StageProgress, Stages
from ncaudit.config import ScoreConfig
from ncaudit.embeddings.cache import CachedShard
from ncaudit.engine import open_engine
from ncaudit.engine.base import EngineOptions
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import ConfigError, InputError
from ncaudit.files import write_json
from ncaudit.matching.heads import Heads
from ncaudit.matching.pairs import CHUNK_PAIRS, Pairs
from ncaudit.matching.retrieval import Retrieval, retrieval
from ncaudit.shards.discover import discover_shards
from ncaudit.types import Floats

RECORD_NAME = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        retrieval: Recalls in percent and the size of the pool.
        n_in_fit: Pairs of the pool that the model was fitted on; with any, the recalls
            flatter it.
        defects: Shard to why it could not be read, or only in part.
    """

    retrieval: Retrieval
    n_in_fit: int
    defects: dict[str, str]


def evaluate_model(
    config: ScoreConfig, out: Path, cache: Path, progress: StageProgress | None = None
) -> Evaluation:
    """Rank all captions for each image and all images for each caption, and count hits.

    Writes `out/evaluation.json`. The shards are never touched.

    Args:
        config: Settings; `model` must be given, and `fit` and `seed` are not used.
        out: Folder to write.
        cache: Folder of the embedding cache.
        progress: Who is told how far it is.

    Raises:
        ConfigError: If no model is given, or it is for another encoder.
        InputError: If there are no shards, or no pair in them can be embedded.
        OutputExistsError: If `out` belongs to another run, or is in use.
        WeightsError: If the model or the encoder's weights are missing.
    """
    if config.model is None:
        raise ConfigError("there is no model to evaluate", hint="Name one with --model DIR.")
    stages, ledger = Stages(progress), Ledger(out)
    shards = settle_times(discover_shards(config.shards), cache)
    embedder = open_embedder(config, cache)
    model = load_given_model(Path(config.model), embedder.encoder.card)
    with full_disk_is_deliberate(out), ledger.claim():
        ledger.begin(identity("evaluate", config, embedder, shards))
        with open_engine(EngineOptions(), embedder.device) as engine:
            cached = embed_shards(shards, embedder, engine, ledger, stages)
        pairs = _pool(cached, cache)
        stages.stage("retrieve", len(pairs))
        found = Evaluation(
            retrieve(model, pairs),
            int((model.table.find(pairs) >= 0).sum()),
            {shard.tally.shard: shard.tally.defect for shard in cached if shard.tally.defect},
        )
        stages.advance(len(pairs))
        stages.finish()
        write_json(out / RECORD_NAME, as_json(found) | {"model": config.model})
    return found


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as evaluation.json has it."""
    return asdict(found.retrieval) | {
        "rsum": found.retrieval.rsum,
        "n_in_fit": found.n_in_fit,
        "defects": found.defects,
    }


def retrieve(model: AuditModel, pairs: Pairs) -> Retrieval:
    """Retrieve among all different images and all captions of `pairs`.

    Similarity is the mean over the heads of all folds: the cosine of their projections,
    joined end to end.
    """
    _, first, image = np.unique(pairs.image_id, return_index=True, return_inverse=True)
    return retrieval(
        _joined(model.heads, pairs.image[first], images=True),
        _joined(model.heads, pairs.caption, images=False),
        image,
    )


def _joined(heads: Sequence[Heads], rows: Floats, *, images: bool) -> Floats:
    width = heads[0].image_map.shape[1]
    out = np.empty((len(rows), width * len(heads)), np.float32)
    for start in range(0, len(rows), CHUNK_PAIRS):
        at = slice(start, start + CHUNK_PAIRS)
        for number, each in enumerate(heads):
            project = each.project_images if images else each.project_captions
            out[at, number * width : (number + 1) * width] = project(rows[at])
    out /= np.float32(np.sqrt(len(heads)))
    return out


def _pool(cached: Sequence[CachedShard], cache: Path) -> Pairs:
    tallies = [shard.tally for shard in cached]
    n_scored = sum(tally.n_scored for tally in tallies)
    if not n_scored:
        raise InputError(
            "no pair of these shards could be embedded, so there is nothing to retrieve",
            hint="Score the shards: the `status` column of audit.csv says why.",
        )
    return gather_pairs(draw_sample(tallies, n_scored, seed=0), cached, cache)
