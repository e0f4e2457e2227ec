"""ncaudit score."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ncaudit.cli._console import complain, exit_codes, say, say_json, show_table
from ncaudit.cli._noise import noise_rate
from ncaudit.cli._options import (
    AddressOption,
    BatchSizeOption,
    CaptionsOption,
    DeviceOption,
    EmbeddingsOption,
    EncoderOption,
    EngineOption,
    FitPairsOption,
    FitVerdictsOption,
    GpusPerWorkerOption,
    JsonOption,
    ModelOption,
    OutOption,
    QuietOption,
    RematchMaxOption,
    RematchOption,
    RematchPoolOption,
    RematchWithinOption,
    SeedOption,
    ShardsArgument,
    TorchCompileOption,
    TrustedOption,
    WorkersOption,
)
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled

if TYPE_CHECKING:
    from ncaudit.report.summary import Summary, ThresholdRow

_SHOWN_THRESHOLDS = (0.5, 0.7, 0.9)

SignalOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Signal of another package, for scores/*.parquet; may be repeated."),
]
OverwriteOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace another run in the folder; embeddings that fit are kept."
    ),
]


def score(
    context: typer.Context,
    shards: ShardsArgument = None,
    out: OutOption = Path("audit"),
    encoder: EncoderOption = "bundled",
    embeddings: EmbeddingsOption = None,
    captions: CaptionsOption = "auto",
    model: ModelOption = None,
    trusted: TrustedOption = None,
    verdicts: FitVerdictsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = 64,
    torch_compile: TorchCompileOption = False,
    fit_pairs: FitPairsOption = 500_000,
    rematch: RematchOption = True,
    rematch_pool: RematchPoolOption = "flagged",
    rematch_within: RematchWithinOption = "all",
    rematch_max: RematchMaxOption = 1_000_000,
    workers: WorkersOption = 0,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    gpus_per_worker: GpusPerWorkerOption = None,
    signal: SignalOption = None,
    overwrite: OverwriteOption = False,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score every pair and write audit.csv. Never changes the shards."""
    with exit_codes():
        from ncaudit.api.settings import ScoreSettings

        settings = settled(ScoreSettings, context)
        from ncaudit.api.score import run_score
        from ncaudit.audit.score import raise_for_problems
        from ncaudit.engine.ranks import find_rank

        rank = find_rank(os.environ)
        is_first = rank is None or rank.index == 0
        with progress(quiet or not is_first) as shown:
            run = run_score(settings, shown)
        # What all ranks did together is told once.
        if json and is_first:
            say_json({"out": str(run.folder)} | asdict(run.summary))
        elif is_first:
            _show(run.folder, run.summary)
        raise_for_problems(run.summary)


def _show(out: Path, summary: "Summary") -> None:
    counts = summary.counts
    if summary.banner:
        complain("warning", summary.banner, "bold red")
    rows: list[tuple[str, object]] = [
        ("pairs", f"{counts.pairs:,}"),
        ("  scored", f"{counts.scored:,}"),
        ("  rejected", f"{counts.pairs - counts.scored:,}"),
    ]
    rows += [(f"    {reason}", f"{n:,}") for reason, n in counts.rejects.items()]
    if counts.with_probability:
        half = counts.at_or_above_half
        rows += [
            ("estimated noise rate", noise_rate(asdict(summary))),
            ("p_mismatch >= 0.5", f"{half:,} ({half / counts.with_probability:.1%})"),
        ]
    if (auroc := summary.self_check.get("auroc")) is not None:
        rows.append(("self-check AUROC", f"{auroc:.4f}, on mismatches planted by ncaudit"))
    if summary.verdicts:
        rows.append(("people's verdicts", _said(summary.verdicts)))
    rows += [
        (f"drop at {row.threshold:g}", _effect(row))
        for row in counts.thresholds
        if row.threshold in _SHOWN_THRESHOLDS
    ]
    files = [("audit", "audit.csv"), ("parts", "scores"), ("summary", "summary.json")]
    rows += [(name, str(out / file)) for name, file in files]
    show_table(rows)
    if counts.with_probability:
        say(f"\nclean the shards:\n  ncaudit clean {shlex.quote(str(out))} --threshold 0.5")


def _said(verdicts: dict[str, Any]) -> str:
    """Say how verdicts were used, and the precision that people measured."""
    n = verdicts["n_match"] + verdicts["n_mismatch"]
    if verdicts["method"] == "unchanged":
        return f"{n:,}: too few to calibrate on (50 are needed)"
    quality = verdicts["quality"] or {}
    precision = quality.get("precision_at_half")
    shown = "" if precision is None else f", precision at 0.5 about {precision:.0%}"
    return f"{n:,} ({verdicts['n_mismatch']:,} mismatches) set the probabilities{shown}"


def _effect(row: "ThresholdRow") -> str:
    removed = _percent(row.share_of_mismatches_removed)
    lost = _percent(row.share_of_good_lost)
    return f"{row.dropped:,} pairs: about {removed} of mismatches, {lost} of good pairs"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
