"""ncaudit train."""

import shlex
from dataclasses import asdict
from pathlib import Path

import typer

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
    TorchCompileOption,
    TrustedOption,
    WorkersOption,
)
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled


def train(
    context: typer.Context,
    shards: ShardsArgument = None,
    out: OutOption = Path("model"),
    encoder: EncoderOption = "bundled",
    captions: CaptionsOption = "auto",
    cache: CacheOption = None,
    trusted: TrustedOption = None,
    verdicts: FitVerdictsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = 64,
    torch_compile: TorchCompileOption = False,
    fit_pairs: FitPairsOption = 500_000,
    workers: WorkersOption = 0,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    gpus_per_worker: GpusPerWorkerOption = None,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a matching model and write it to a folder. Never changes the shards."""
    with exit_codes():
        from ncaudit.api.settings import TrainSettings

        settings = settled(TrainSettings, context)
        from ncaudit.api.train import run_train
        from ncaudit.audit.score import raise_for_defects

        with progress(quiet) as shown:
            summary = run_train(settings, shown)
        if json:
            say_json({"out": str(settings.out)} | asdict(summary))
        else:
            if banner := summary.model.get("banner"):
                complain("warning", str(banner), "bold red")
            show_table(
                [
                    ("pairs", f"{summary.n_pairs:,}"),
                    ("  scored", f"{summary.n_scored:,}"),
                    ("  fitted on", f"{summary.n_fit:,}"),
                    ("estimated noise rate", noise_rate(summary.model)),
                    ("model", str(settings.out)),
                ]
            )
            say(
                f"\nscore shards with it:\n  ncaudit score SHARDS --model {shlex.quote(str(settings.out))}"
            )
        raise_for_defects(summary.defects)
