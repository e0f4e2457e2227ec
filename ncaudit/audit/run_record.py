"""What a finished run says about itself: summary.json for people, run.json for programs."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ncaudit import __version__
from ncaudit.audit.embed import Embedder
from ncaudit.audit.model import AuditModel
from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.stages import Stages
from ncaudit.config import ScoreConfig, as_plain
from ncaudit.devices import describe_device
from ncaudit.embeddings.cache import CachedShard
from ncaudit.embeddings.step_clock import bottleneck
from ncaudit.files import digest_json, mask_secrets
from ncaudit.report.summary import Summary, count_pairs

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "faiss-cpu",
    "faiss-gpu",
    "pyarrow",
    "pillow",
    "open_clip_torch",
    "timm",
    "transformers",
)
# How shards were named, and where the model lay, change no number.
_NOT_DECISIVE = ("shards", "model", "trusted", "verdicts", "batch_size", "device", "embeddings")


def summarise(
    run: RunDirectory, cached: Sequence[CachedShard], model: AuditModel | None, problem: str
) -> Summary:
    """Return the summary of a run whose parts are written.

    Args:
        run: Its folder.
        cached: Its shards.
        model: The model that scored, or None.
        problem: Why there is no full model, or "".
    """
    said = finite(model.summary) if model is not None else {}
    return Summary(
        counts=count_pairs(run.part(shard.tally.shard) for shard in cached),
        estimated_noise_rate=said.get("estimated_noise_rate"),
        noise_rate_low=said.get("noise_rate_low"),
        noise_rate_high=said.get("noise_rate_high"),
        self_check=said.get("self_check") or {},
        separable=said.get("separable"),
        banner=str(said.get("banner") or problem),
        n_fit=int(said.get("n_fit") or 0),
        defects={shard.tally.shard: shard.tally.defect for shard in cached if shard.tally.defect},
        fit_problem=problem,
        verdicts=said.get("verdicts"),
        files={
            "audit": run.audit_csv.name,
            "parts": run.scores.name,
            "model": run.model.name if model is not None else "",
            "run": run.run_json.name,
        },
    )


def run_record(
    config: ScoreConfig,
    embedder: Embedder,
    cached: Sequence[CachedShard],
    stages: Stages,
    model: str,
    rematch: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of run.json; the only file with times in it.

    Args:
        config: Settings of the run.
        embedder: Encoder and device.
        cached: Its shards.
        stages: What was done this time, and how long it took.
        model: Digest of the model, "" if there is none.
        rematch: How proposals were made, if it was tried.
    """
    settings = as_plain(config)
    for name in ("shards", "trusted"):
        settings[name] = [mask_secrets(pattern) for pattern in settings[name]]
    card = asdict(embedder.encoder.card)
    decisive = {name: value for name, value in settings.items() if name not in _NOT_DECISIVE}
    entries = _shard_entries(cached)
    n_pairs = sum(shard.tally.n_pairs for shard in cached)
    return {
        "ncaudit_version": __version__,
        "versions": _versions(),
        "config": settings,
        "encoder": card,
        "imported_embeddings": embedder.imported,
        "seed": config.seed,
        "device": describe_device(embedder.device),
        "seconds": {name: round(spent, 3) for name, spent in stages.seconds.items()},
        "pairs_per_second": {
            name: round(n_pairs / spent, 1) for name, spent in stages.seconds.items() if spent
        },
        "embed_seconds": {step: round(spent, 3) for step, spent in stages.steps.items()},
        "embed_bottleneck": bottleneck(stages.steps) if stages.steps else None,
        "tallies": {
            "pairs": n_pairs,
            "scored": sum(shard.tally.n_scored for shard in cached),
        },
        "rematch": dict(rematch or {}),
        "shards": entries,
        "fingerprint": digest_json(
            {
                "config": decisive,
                "model": model,
                "encoder": card,
                "imported": embedder.imported,
                "shards": [[entry["name"], entry["sha256"]] for entry in entries],
                "version": __version__,
            }
        ),
    }


def _shard_entries(cached: Sequence[CachedShard]) -> list[dict[str, Any]]:
    """Return what run.json says about each shard."""
    return [
        {
            "name": shard.tally.shard,
            "path": mask_secrets(shard.path),
            "n_bytes": shard.n_bytes,
            "modified": shard.modified,
            "sha256": shard.sha256,
            "n_samples": shard.n_samples,
            **{name: value for name, value in asdict(shard.tally).items() if name != "shard"},
        }
        for shard in cached
    ]


def _versions() -> dict[str, str]:
    """Return the versions of what computes the numbers."""
    return {"ncaudit": __version__, "python": platform.python_version()} | {
        package: found for package in _PACKAGES if (found := _version(package))
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def finite(value: Any) -> Any:
    """Return JSON-ready values with None in place of NaN and infinities."""
    if isinstance(value, dict):
        return {str(name): finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
