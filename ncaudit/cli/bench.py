"""ncaudit bench."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ncaudit.audit.bench.settings import Baselines
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.cli._bench_table import show_case
from ncaudit.cli._console import complain, exit_codes, say, say_json, show_table
from ncaudit.cli._options import (
    BatchSizeOption,
    CacheOption,
    CaptionsOption,
    DeviceOption,
    EncoderOption,
    FitPairsOption,
    JsonOption,
    OutOption,
    QuietOption,
    ShardsArgument,
    TorchCompileOption,
)
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled
from ncaudit.errors import ConfigError


def bench(
    context: typer.Context,
    shards: ShardsArgument = None,
    noise: Annotated[
        list[NoiseKind], typer.Option(help="What is exchanged; give it again for more kinds.")
    ] = [NoiseKind.CAPTION],  # noqa: B006 - typer reads it, nobody changes it
    rate: Annotated[
        list[float],
        typer.Option(min=0, max=1, help="Share to exchange; give it again for more rates."),
    ] = [0.4],  # noqa: B006 - as above
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each case: 0, 1, ...")] = 3,
    captions_per_image: Annotated[
        str, typer.Option(metavar="N|all", help="Captions of each image that take part.")
    ] = "all",
    out: OutOption = Path("bench"),
    encoder: EncoderOption = "bundled",
    captions: CaptionsOption = "auto",
    cache: CacheOption = None,
    baselines: Annotated[
        Baselines, typer.Option(help="Methods beside the fusion and its signals.")
    ] = Baselines.ALL,
    downstream: Annotated[
        bool,
        typer.Option("--downstream", help="Train retrieval heads on noisy and cleaned pairs."),
    ] = False,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = 64,
    torch_compile: TorchCompileOption = False,
    fit_pairs: FitPairsOption = 500_000,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Plant known mismatches in clean shards and measure how well they are found."""
    with exit_codes():
        from ncaudit.api.settings import BenchSettings

        n_captions = _captions_per_image(captions_per_image)
        settings = settled(BenchSettings, context, captions_per_image=n_captions)
        from ncaudit.api.bench import run_bench
        from ncaudit.audit.bench.summary import summarise_cases
        from ncaudit.audit.score import raise_for_defects

        with progress(quiet) as shown:
            found = run_bench(settings, shown, command=_command())
        cases = summarise_cases(found.results)
        plots = _plot(settings.out, cases)
        if json:
            say_json({"out": str(settings.out), "plots": plots, "cases": cases})
        else:
            _show(settings.out, cases, plots)
        raise_for_defects(found.defects)


def _command() -> str:
    from ncaudit.files import mask_secrets

    return shlex.join(["ncaudit", *map(mask_secrets, sys.argv[1:])])


def _captions_per_image(given: str) -> int | str:
    if given == "all":
        return given
    if not given.isdecimal():
        raise ConfigError(
            f"--captions-per-image {given!r} is no number", hint="Use a number, or `all`."
        )
    return int(given)


def _plot(out: Path, cases: Sequence[dict[str, Any]]) -> list[str]:
    """Draw every case; returns the files, none where matplotlib is not installed."""
    from ncaudit.files import read_json
    from ncaudit.report.bench_plots import plot_case, plots_available

    if not plots_available():
        return []
    files = []
    for case in cases:
        name = case["case"].replace(":", "-")
        kept = [out / "curves" / name / f"{seed}.json" for seed in case["seeds"]]
        if all(file.is_file() for file in kept):
            curves = [read_json(file) for file in kept]
            files += plot_case(_in_words(case), curves, out / "plots" / name)
    return [str(file) for file in files]


def _in_words(case: Mapping[str, Any]) -> str:
    captions, noise, rate = case["case"].split(":")
    captions = {"all": "all captions", "1": "1 caption"}.get(captions, f"{captions} captions")
    return f"{noise} noise at {float(rate):.0%}, {captions} per image"


def _show(out: Path, cases: Sequence[dict[str, Any]], plots: Sequence[str]) -> None:
    from ncaudit.report.bench_plots import plots_available

    for case in cases:
        show_case(case)
        say()
    show_table([("results", str(out / "bench.json")), *(("plot", plot) for plot in plots)])
    if not plots_available():
        complain("note", "plots need matplotlib: pip install 'ncaudit[plots]'", "yellow")
