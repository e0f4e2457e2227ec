"""ncaudit evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ncaudit.cli._console import complain, exit_codes, say_json, show_table
from ncaudit.cli._options import (
    BatchSizeOption,
    CacheOption,
    CaptionsOption,
    DeviceOption,
    EncoderOption,
    JsonOption,
    OutOption,
    QuietOption,
    ShardsArgument,
    TorchCompileOption,
)
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled

if TYPE_CHECKING:
    from ncaudit.audit.evaluate import Evaluation


def evaluate(
    context: typer.Context,
    shards: ShardsArgument = None,
    model: Annotated[Path | None, typer.Option(help="Folder of the fitted model.")] = None,
    out: OutOption = Path("evaluation"),
    encoder: EncoderOption = "bundled",
    captions: CaptionsOption = "auto",
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = 64,
    torch_compile: TorchCompileOption = False,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure how well a model retrieves images by captions and captions by images."""
    with exit_codes():
        from ncaudit.api.settings import EvaluateSettings

        settings = settled(EvaluateSettings, context)
        from ncaudit.api.evaluate import run_evaluate
        from ncaudit.audit.evaluate import as_json
        from ncaudit.audit.score import raise_for_defects

        with progress(quiet) as shown:
            found = run_evaluate(settings, shown)
        if json:
            say_json({"out": str(settings.out)} | as_json(found))
        else:
            _show(settings.out, found)
        raise_for_defects(found.defects)


def _show(out: Path, found: "Evaluation") -> None:
    pool = found.retrieval
    if found.n_in_fit:
        complain(
            "warning",
            f"the model was fitted on {found.n_in_fit:,} of these pairs: others show more",
            "yellow",
        )
    show_table(
        [
            ("pool", f"{pool.n_images:,} images, {pool.n_captions:,} captions"),
            ("image to caption", _recalls(pool.image_to_caption)),
            ("caption to image", _recalls(pool.caption_to_image)),
            ("rSum", f"{pool.rsum:.1f} of 600; it falls as the pool grows"),
            ("evaluation", str(out / "evaluation.json")),
        ]
    )


def _recalls(recalls: tuple[float, float, float]) -> str:
    one, five, ten = recalls
    return f"R@1 {one:.1f}  R@5 {five:.1f}  R@10 {ten:.1f} %"
