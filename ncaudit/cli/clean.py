"""ncaudit clean."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ncaudit.cli._console import exit_codes, say, say_json, show_table
from ncaudit.cli._options import JsonOption, OutOption, QuietOption, RunArgument
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled

if TYPE_CHECKING:
    from ncaudit.audit.clean import CleanSummary
    from ncaudit.audit.clean_config import CleanConfig

# What open_clip_train takes if nothing is said.
OPEN_CLIP_WORKERS = 4
OPEN_CLIP_BATCH = 64

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
ApplyRematchOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--apply-rematch", help="Keep pairs that would leave with their accepted proposal instead."
    ),
]
MinConfidenceOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        show_default="0.5",
        help="Least rematch_confidence, 0 to 1, of the accepted proposals that are applied.",
    ),
]
ReshardOption: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Samples per cleaned tar; as scored if not given.")
]
CardOption: TypeAlias = Annotated[
    bool, typer.Option("--card", help="Write README.md, a data set card for the Hugging Face hub.")
]
ClipRetrievalOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--clip-retrieval", help="Write the kept pairs' embeddings as clip-retrieval has them."
    ),
]


def clean(
    context: typer.Context,
    run: RunArgument = Path("audit"),
    out: OutOption = Path("cleaned"),
    threshold: ThresholdOption = None,
    keep_fraction: KeepFractionOption = None,
    max_good_loss: MaxGoodLossOption = None,
    verdicts: VerdictsOption = None,
    apply_rematch: ApplyRematchOption = False,
    min_confidence: MinConfidenceOption = None,
    reshard: ReshardOption = None,
    card: CardOption = False,
    clip_retrieval: ClipRetrievalOption = False,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write cleaned and rejected shards. Never decodes, re-encodes or reorders what it keeps."""
    with exit_codes():
        from ncaudit.api.settings import CleanSettings

        settings = settled(CleanSettings, context)
        from ncaudit.api.clean import run_clean

        with progress(quiet) as shown:
            summary = run_clean(settings, shown)
        if json:
            say_json({"out": str(settings.out), "tars": list(summary.sizes)} | asdict(summary))
        else:
            _show(settings, summary)


def _show(config: "CleanConfig", summary: "CleanSummary") -> None:
    total = summary.totals
    name, value = config.chosen_by
    chosen = "" if name == "threshold" else f" (by {name} {value:g})"
    rows = [
        ("pairs", f"{total['n_pairs']:,}"),
        ("  kept", f"{total['n_kept']:,}{_share(total['n_kept'], total['n_pairs'])}"),
        *_rematched(config, total),
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
    if summary.sizes:
        say("\ntrain on them:")
        say("  " + training_command(config.out, summary.sizes, summary.captions))


def _rematched(
    config: "CleanConfig", total: Mapping[str, int | float]
) -> list[tuple[str, object]]:
    if not config.apply_rematch:
        return []
    return [("    rematched", f"{total['n_rematched']:,}, with another caption")]


def training_command(out: Path, sizes: Mapping[str, int], captions: str) -> str:
    """Return a command that trains on the cleaned shards.

    That of open_clip where its loader finds captions, which it reads from `.txt` only.
    A worker that never fills a batch would wait forever, so that there are as many as
    the tars allow.

    Args:
        out: Folder of the cleaned shards.
        sizes: Samples of each tar, by its name in the folder; not empty.
        captions: Where captions are.
    """
    if captions.startswith("json:"):
        return shlex.join(["ncaudit", "train", str(out), "-o", "model", "--captions", captions])
    train_data = shlex.quote(f"{out}/{brace_range(list(sizes))}")
    n_workers, n_batch = loader_size(list(sizes.values()))
    return (
        "python -m open_clip_train.main --dataset-type webdataset"
        f" --train-data {train_data} --train-num-samples {sum(sizes.values())}"
        + (f" --workers {n_workers}" if n_workers < OPEN_CLIP_WORKERS else "")
        + (f" --batch-size {n_batch}" if n_batch < OPEN_CLIP_BATCH else "")
    )


def loader_size(n_samples: Sequence[int]) -> tuple[int, int]:
    """Return the workers, and the batch size, with which open_clip can read the tars.

    Tars are dealt to the workers anew in each epoch, and each worker has to fill a batch
    from the smallest ones that it can be given.

    Args:
        n_samples: Samples of each tar, at least one.
    """
    smallest_first = sorted(n_samples)
    for n_workers in range(min(OPEN_CLIP_WORKERS, len(n_samples)), 1, -1):
        if sum(smallest_first[: len(n_samples) // n_workers]) >= OPEN_CLIP_BATCH:
            return n_workers, OPEN_CLIP_BATCH
    return 1, min(OPEN_CLIP_BATCH, sum(n_samples))


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
