"""ncaudit train."""

import shlex
from dataclasses import asdict
from pathlib import Path

from ncaudit.cli._console import complain, exit_codes, say, say_json, show_table
from ncaudit.cli._noise import noise_rate
from ncaudit.cli._options import (
    AddressOption,
    BatchSizeOption,
    CacheOption,
    CaptionsOption,
    DeviceOption,
    EncoderOption,
    EngineOption,
    FitPairsOption,
    FitVerdictsOption,
    GpusPerWorkerOption,
    JsonOption,
    OutOption,
    QuietOption,
    SeedOption,
    ShardsArgument,
    TrustedOption,
    WorkersOption,
)
from ncaudit.cli._progress import progress
from ncaudit.config import FitConfig, ScoreConfig
from ncaudit.engine.base import EngineOptions


def train(
    shards: ShardsArgument,
    out: OutOption = Path("model"),
    encoder: EncoderOption = "bundled",
    captions: CaptionsOption = "auto",
    cache: CacheOption = None,
    trusted: TrustedOption = None,
    verdicts: FitVerdictsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = 64,
    fit_pairs: FitPairsOption = 500_000,
    workers: WorkersOption = 0,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    gpus_per_worker: GpusPerWorkerOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a matching model and write it to a folder. Never changes the shards."""
    with exit_codes():
        from ncaudit.audit.score import raise_for_defects
        from ncaudit.audit.train import train_model

        config = ScoreConfig(
            shards=tuple(shards),
            encoder=encoder,
            captions=captions,
            trusted=tuple(trusted or ()),
            verdicts=str(verdicts) if verdicts else None,
            seed=seed,
            device=device,
            batch_size=batch_size,
            fit=FitConfig(fit_pairs=fit_pairs),
        )
        runs_on = EngineOptions(
            name=engine, workers=workers, address=address, gpus_per_worker=gpus_per_worker
        )
        with progress(quiet) as shown:
            summary = train_model(config, out, cache or out / "embeddings", shown, engine=runs_on)
        if json:
            say_json({"out": str(out)} | asdict(summary))
        else:
            if banner := summary.model.get("banner"):
                complain("warning", str(banner), "bold red")
            show_table(
                [
                    ("pairs", f"{summary.n_pairs:,}"),
                    ("  scored", f"{summary.n_scored:,}"),
                    ("  fitted on", f"{summary.n_fit:,}"),
                    ("estimated noise rate", noise_rate(summary.model)),
                    ("model", str(out)),
                ]
            )
            say(f"\nscore shards with it:\n  ncaudit score SHARDS --model {shlex.quote(str(out))}")
        raise_for_defects(summary.defects)
