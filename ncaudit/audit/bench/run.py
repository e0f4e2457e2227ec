"""Benchmark a set of shards: embed once, then plant, audit and measure case by case."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.bench.case import measure_case
from ncaudit.audit.bench.machine import machine
from ncaudit.audit.bench.pool import gather_pool, hold_out
from ncaudit.audit.bench.settings import BenchCase, BenchConfig
from ncaudit.audit.embed import Embedder, embed_shards, open_embedder, settle_times
from ncaudit.audit.fit_sample import draw_sample
from ncaudit.audit.full_disk import full_disk_is_deliberate
from ncaudit.audit.noise.plant import Pool
from ncaudit.audit.run_directory import identity
from ncaudit.audit.run_record import finite
from ncaudit.audit.stages import StageProgress, Stages
from ncaudit.config import as_plain
from ncaudit.embeddings.cache import CachedShard
from ncaudit.engine import open_engine
from ncaudit.engine.base import EngineOptions
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import OutputExistsError
from ncaudit.files import read_json, write_json
from ncaudit.shards.discover import discover_shards
from ncaudit.types import ShardRef

RECORD_NAME = "bench.json"
CURVES_FOLDER = "curves"


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What a benchmark found.

    Attributes:
        results: Entries of bench.json for the cases that were asked for, by case and seed.
        defects: Shard to why it could not be read, or only in part.
    """

    results: list[dict[str, Any]]
    defects: dict[str, str]


def bench_shards(
    config: BenchConfig,
    out: Path,
    cache: Path,
    progress: StageProgress | None = None,
    *,
    command: str = "",
) -> BenchResult:
    """Plant each kind of noise, audit it and write bench.json; never touches the shards.

    Calling it again goes on where an earlier call stopped; further cases and seeds are
    added to those that are there.

    Args:
        config: Settings.
        out: Folder to write.
        cache: Folder of the embedding cache.
        progress: Who is told how far it is.
        command: What the user typed, for the record.

    Raises:
        FitError: If there are too few pairs or images.
        InputError: If there are no shards, not one of them can be read, or a kind of noise
            finds nothing to exchange.
        OutputExistsError: If `out` belongs to other shards or settings, or is in use.
        WeightsError: If the encoder's weights are missing.
    """
    stages, ledger = Stages(progress), Ledger(out)
    shards = settle_times(discover_shards(config.score.shards), cache)
    embedder = open_embedder(config.score, cache)
    with full_disk_is_deliberate(out), ledger.claim():
        ledger.begin(_identity(config, embedder, shards))
        with open_engine(EngineOptions(), embedder.device) as engine:
            cached = embed_shards(shards, embedder, engine, ledger, stages)
        record = _Record(out, embedder, command)
        _measure_missing(config, record, cached, stages)
        stages.finish()
    wanted = {case.name for case in config.cases}
    return BenchResult(
        [
            entry
            for entry in record.results
            if entry["case"] in wanted and entry["seed"] < config.n_seeds
        ],
        {shard.tally.shard: shard.tally.defect for shard in cached if shard.tally.defect},
    )


def _identity(
    config: BenchConfig, embedder: Embedder, shards: Sequence[ShardRef]
) -> dict[str, Any]:
    """Return what must not change within a folder; cases and seeds may be added."""
    settings = {"baselines": str(config.baselines), "downstream": config.downstream}
    return identity("bench", config.score, embedder, shards) | {"bench": settings}


class _Record:
    """bench.json, written anew after every case and seed."""

    def __init__(self, out: Path, embedder: Embedder, command: str) -> None:
        self._out = out
        self.embedder = embedder
        self._head = {
            "command": command,
            **machine(embedder.device),
            "encoder": embedder.encoder.card.name,
        }
        self.results = self._read()

    def holds(self, case: BenchCase, seed: int) -> bool:
        return any((each["case"], each["seed"]) == (case.name, seed) for each in self.results)

    def add(self, entry: dict[str, Any], plotted: dict[str, Any]) -> None:
        folder = self._out / CURVES_FOLDER / entry["case"].replace(":", "-")
        write_json(folder / f"{entry['seed']}.json", finite(plotted))
        # An entry counts once it is here, so what belongs to it comes first.
        self.results.append(finite(entry) | {"commit": self._head["commit"]})
        write_json(self._out / RECORD_NAME, self._head | {"results": self.results})

    def _read(self) -> list[dict[str, Any]]:
        path = self._out / RECORD_NAME
        try:
            return list(read_json(path)["results"]) if path.exists() else []
        except (ValueError, LookupError, TypeError) as error:
            raise OutputExistsError(
                f"{path} cannot be read", hint="Choose another folder with --out."
            ) from error


def _measure_missing(
    config: BenchConfig, record: _Record, cached: Sequence[CachedShard], stages: Stages
) -> None:
    missing = [
        (case, seed)
        for case in config.cases
        for seed in range(config.n_seeds)
        if not record.holds(case, seed)
    ]
    if not missing:
        return
    score = config.score
    sample = draw_sample([shard.tally for shard in cached], score.fit.fit_pairs, score.seed)
    pool = gather_pool(sample, cached, record.embedder.cache)
    held_out: Pool | None = None
    if config.downstream:
        pool, held_out = hold_out(pool)
    for case, seed in missing:
        stages.stage(f"{case.name} seed {seed}", None, "steps")
        entry, plotted = measure_case(
            config, case, (pool, held_out), record.embedder.encoder, seed=seed, stages=stages
        )
        record.add(
            {
                "case": case.name,
                "seed": seed,
                "ncaudit_version": __version__,
                "settings": {"case": asdict(case), "fit": as_plain(score.fit)},
                **entry,
            },
            plotted,
        )
