"""ncaudit clean."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ncaudit.cli._console import exit_codes, say, say_json, show_table
from ncaudit.cli._options import JsonOption, OutOption, QuietOption, RunArgument
from ncaudit.cli._progress import progress

if TYPE_CHECKING:
    from ncaudit.audit.clean import CleanConfig, CleanSummary


ThresholdOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        show_default="0.5",
        help="Least p_mismatch, 0 to 1, of the pairs that are dropped.",
    ),
]
KeepFractionOption: TypeAlias = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of the scored pairs to keep, the best first."),
]
MaxGoodLossOption: TypeAlias = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of the good pairs that may be lost, expected."),
]
VerdictsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="CSV of shard, key, caption_index, verdict that outranks p_mismatch."),
]


def clean(
    run: RunArgument = Path("audit"),
    out: OutOption = Path("cleaned"),
    threshold: ThresholdOption = None,
    keep_fraction: KeepFractionOption = None,
    max_good_loss: MaxGoodLossOption = None,
    verdicts: VerdictsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write cleaned and rejected shards. Never decodes, renames or reorders what it keeps."""
    with exit_codes():
        from ncaudit.audit.clean import CleanConfig, clean as clean_run
        from ncaudit.audit.scored_run import count_pairs, load_scored_run

        config = CleanConfig(
            run=run,
            out=out,
            threshold=threshold,
            keep_fraction=keep_fraction,
            max_good_loss=max_good_loss,
            verdicts=verdicts,
        )
        with progress(quiet) as shown:
            shown.stage("clean", count_pairs(load_scored_run(run)))
            summary = clean_run(config, lambda tally: shown.advance(tally.n_pairs))
        if json:
            say_json({"out": str(out)} | asdict(summary))
        else:
            _show(config, summary)


def _show(config: "CleanConfig", summary: "CleanSummary") -> None:
    total = summary.totals
    name, value = config.chosen_by
    chosen = "" if name == "threshold" else f" (by {name} {value:g})"
    rows = [
        ("pairs", f"{total['n_pairs']:,}"),
        ("  kept", f"{total['n_kept']:,}{_share(total['n_kept'], total['n_pairs'])}"),
        ("  dropped", f"{total['n_dropped']:,}{_share(total['n_dropped'], total['n_pairs'])}"),
        ("  rejected", f"{total['n_rejected']:,}{_share(total['n_rejected'], total['n_pairs'])}"),
        ("samples kept", f"{total['n_samples_kept']:,} of {total['n_samples']:,}"),
        ("threshold", f"{summary.threshold:.6g}{chosen}"),
        ("mismatches removed", f"about {total['mismatches_removed']:,.0f}, by p_mismatch"),
        ("good pairs lost", f"about {total['good_lost']:,.0f}"),
        ("mismatches left", f"about {total['mismatches_left']:,.0f}"),
    ]
    if total["n_rewritten"]:
        rows.append(("lost some captions", f"{total['n_rewritten']:,} samples"))
    if total["n_cut"]:
        rows.append(("cut by a damaged tar", f"{total['n_cut']:,} samples, copied in part"))
    rows += [("cleaned shards", str(config.out)), ("rejected", str(config.out / "rejected"))]
    if summary.has_uids:
        rows.append(("uids for DataComp", str(config.out / "subset_uids.npy")))
    show_table(rows)
    if summary.tars:
        say("\ntrain on them:")
        say("  " + training_command(config.out, summary.tars, int(total["n_samples_kept"])))


def training_command(out: Path, tars: Sequence[str], n_samples: int) -> str:
    """Return the open_clip command that trains on the cleaned shards."""
    train_data = shlex.quote(f"{out}/{brace_range(tars)}")
    return (
        "python -m open_clip_train.main --dataset-type webdataset"
        f" --train-data {train_data} --train-num-samples {n_samples}"
    )


def brace_range(tars: Sequence[str]) -> str:
    """Return names as one brace pattern: `{00000..00041}.tar`, `{00000,00007}.tar`.

    Runs of numbers of equal width become ranges; other names are listed.

    Args:
        tars: Names that end in `.tar`, at least one.
    """
    stems = [tar.removesuffix(".tar") for tar in tars]
    runs = []
    for _, group in groupby(enumerate(stems), key=_run_of):
        run = [stem for _, stem in group]
        runs.append(run[0] if len(run) == 1 else f"{{{run[0]}..{run[-1]}}}")
    joined = runs[0] if len(runs) == 1 else f"{{{','.join(runs)}}}"
    return f"{joined}.tar"


def _run_of(numbered: tuple[int, str]) -> tuple[object, int]:
    # Consecutive numbers differ from their position by the same amount.
    position, stem = numbered
    if stem.isascii() and stem.isdecimal():
        return len(stem), int(stem) - position
    return stem, position


def _share(part: float, whole: float) -> str:
    return f" ({part / whole:.1%})" if whole else ""
