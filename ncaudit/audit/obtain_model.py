"""The fit stage: the model a run scores with, fitted once or taken from elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ncaudit import __version__
from ncaudit.audit.checkpoint import load_model, save_model
from ncaudit.audit.fit_model import fit_model, n_fit_steps
from ncaudit.audit.fit_sample import FitSample, gather_pairs
from ncaudit.audit.judged import NOTHING, Known
from ncaudit.audit.model import AuditModel
from ncaudit.audit.run_directory import digest_model, model_files
from ncaudit.audit.stages import Stages
from ncaudit.config import FitConfig, as_plain
from ncaudit.embeddings.cache import CachedShard
from ncaudit.engine.differences import differences
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import ConfigError
from ncaudit.files import TEMPORARY_MARK, digest_json, remove_tree
from ncaudit.types import EncoderCard

_STAGE = "fit"
_MARKER = "model"


def fit_key(
    cached: Sequence[CachedShard],
    config: FitConfig,
    card: EncoderCard,
    seed: int,
    known: Known = NOTHING,
) -> str:
    """Return the digest of all that decides a fitted model."""
    return digest_json(
        {
            "shards": [[shard.tally.shard, shard.sha256, shard.key] for shard in cached],
            "fit": as_plain(config),
            "encoder": asdict(card),
            "seed": seed,
            "known": known.digest,
            "version": __version__,
        }
    )


def load_given_model(folder: Path, card: EncoderCard) -> AuditModel:
    """Load a model that was fitted elsewhere.

    Raises:
        ConfigError: If it was fitted on embeddings of another encoder.
    """
    model = load_model(folder)
    lines = differences(asdict(model.encoder), asdict(card))
    if lines:
        raise ConfigError(
            "\n".join([f"{folder} was fitted with another encoder:", *(f"  {x}" for x in lines)]),
            hint=f"Use --encoder {model.encoder.name}, or fit a model for this encoder.",
        )
    return model


def keep_given_model(model: AuditModel, folder: Path) -> AuditModel:
    """Store a loaded model with the run, and return it as the run will find it again."""
    _store(model, folder)
    return load_model(folder)


class Fitter:
    """Fits one model in a folder, at most once.

    Args:
        folder: Where the model is kept.
        ledger: Where it is noted that it is there.
        cache: Folder of the embedding cache.
        stages: Where progress goes.
    """

    def __init__(self, folder: Path, ledger: Ledger, cache: Path, stages: Stages) -> None:
        self._folder = folder
        self._ledger = ledger
        self._cache = cache
        self._stages = stages

    def fit(
        self,
        sample: FitSample,
        cached: Sequence[CachedShard],
        config: FitConfig,
        card: EncoderCard,
        known: Known = NOTHING,
    ) -> AuditModel:
        """Fit on the sample, or load what an earlier run fitted on the same.

        Raises:
            FitError: If the pairs are too few or degenerate.
        """
        key = fit_key(cached, config, card, sample.seed, known)
        done = self._ledger.done(_STAGE, _MARKER, key)
        if done is None or done.get("model") != digest_model(self._folder):
            self._stages.stage(_STAGE, n_fit_steps(config), "steps")
            model = fit_model(
                gather_pairs(sample, cached, self._cache),
                config,
                card,
                seed=sample.seed,
                known=known,
                on_step=self._stages.advance,
            )
            _store(model, self._folder)
            self._ledger.commit(_STAGE, _MARKER, key, {"model": digest_model(self._folder)})
        # Always from disk: a resumed run must not differ by what saving rounds.
        return load_model(self._folder)


def _store(model: AuditModel, folder: Path) -> None:
    """Put a model's files into `folder`, which may hold a ledger and embeddings as well.

    A kill in between leaves no `card.json`, so that nobody takes the rest for a model.
    """
    staging = folder / f"{TEMPORARY_MARK}model"
    save_model(model, staging)
    for old in sorted(model_files(folder), key=_is_card, reverse=True):
        old.unlink()
    for file in sorted(staging.iterdir(), key=_is_card):
        file.replace(folder / file.name)
    remove_tree(staging)


def _is_card(file: Path) -> bool:
    return file.name == "card.json"
