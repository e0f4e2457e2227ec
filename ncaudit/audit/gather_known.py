"""Gather what people know about pairs: trusted shards are embedded, verdicts are looked up."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ncaudit.audit.embed import Embedder, embed_missing
from ncaudit.audit.fit_sample import draw_sample, gather_pairs
from ncaudit.audit.judged import NOTHING, Known, read_judged
from ncaudit.audit.stages import Stages
from ncaudit.config import ScoreConfig
from ncaudit.embeddings.cache import CachedShard
from ncaudit.engine.base import Engine
from ncaudit.errors import ConfigError, InputError
from ncaudit.files import digest_file, digest_json
from ncaudit.matching.pairs import Pairs
from ncaudit.shards.discover import discover_shards

_MOST_TRUSTED = 5_000
TRUSTED_FOLDER = "trusted"


def check_known(config: ScoreConfig) -> None:
    """Refuse settings that nothing would come of.

    Raises:
        ConfigError: If verdicts or trusted shards are given together with a fitted model, or
            there is no verdicts file.
    """
    given = [
        name
        for name, value in (("--trusted", config.trusted), ("--verdicts", config.verdicts))
        if value
    ]
    if given and config.model:
        raise ConfigError(
            f"{' and '.join(given)} change how a model is fitted, and --model names a fitted one",
            hint="Leave one of them out; `ncaudit train` takes them too.",
        )
    if config.verdicts and not Path(config.verdicts).is_file():
        raise ConfigError(
            f"there is no verdicts file {config.verdicts}",
            hint="Make one with `ncaudit review RUN`; it is RUN/verdicts.csv.",
        )


def identity_of_known(config: ScoreConfig) -> dict[str, Any]:
    """Return what identifies the trusted shards and the verdicts.

    Raises:
        InputError: If a trusted shard cannot be found.
    """
    shards = discover_shards(config.trusted) if config.trusted else []
    return {
        "trusted": [
            {"name": shard.name, "n_bytes": shard.n_bytes, "modified": shard.modified}
            for shard in shards
        ],
        "verdicts": digest_file(config.verdicts) if config.verdicts else None,
    }


def gather_known(
    config: ScoreConfig,
    cached: Sequence[CachedShard],
    embedder: Embedder,
    engine: Engine,
    stages: Stages,
) -> Known:
    """Return what people know about pairs; nothing if they were not asked.

    Args:
        config: Names the trusted shards and the verdicts.
        cached: The run's own shards.
        embedder: Of the run; trusted shards get a cache of their own beside the run's.
        engine: Where they are embedded.
        stages: Where progress goes.

    Raises:
        ConfigError: If the verdicts cannot be read or name unknown pairs.
        InputError: If no trusted pair can be embedded.
    """
    if not config.trusted and not config.verdicts:
        return NOTHING
    judged = None
    if config.verdicts:
        judged = read_judged(Path(config.verdicts), cached, embedder.cache)
    trusted, digests = _trusted(config, embedder, engine, stages)
    verdicts = digest_file(config.verdicts) if config.verdicts else ""
    return Known(trusted, judged, digest_json([verdicts, digests]))


def _trusted(
    config: ScoreConfig, embedder: Embedder, engine: Engine, stages: Stages
) -> tuple[Pairs | None, list[str]]:
    if not config.trusted:
        return None, []
    own = replace(embedder, cache=embedder.cache.parent / TRUSTED_FOLDER)
    shards = discover_shards(config.trusted)
    found = embed_missing(shards, own, engine, stages)
    cached = [found[shard.name] for shard in shards]
    sample = draw_sample([each.tally for each in cached], _MOST_TRUSTED, config.seed)
    if sample.n_pairs < 2:
        raise InputError(
            "the trusted shards hold no pair that can be embedded",
            hint="Give shards of pairs that you know to be matched.",
        )
    return gather_pairs(sample, cached, own.cache), [each.sha256 for each in cached]
