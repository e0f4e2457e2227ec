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
)
from ncaudit.cli._progress import progress
from ncaudit.config import ScoreConfig

if TYPE_CHECKING:
    from ncaudit.audit.evaluate import Evaluation


def evaluate(
    shards: ShardsArgument,
    model: Annotated[Path, typer.Option(help="Folder of the fitted model.", show_default=False)],
    out: OutOption = Path("evaluation"),
    encoder: EncoderOption = "bundled",
    captions: CaptionsOption = "auto",
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = 64,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure how well a model retrieves images by captions and captions by images."""
    with exit_codes():
        from ncaudit.audit.evaluate import as_json, evaluate_model
        from ncaudit.audit.score import raise_for_defects

        config = ScoreConfig(
            shards=tuple(shards),
            encoder=encoder,
            captions=captions,
            model=str(model),
            device=device,
            batch_size=batch_size,
        )
        with progress(quiet) as shown:
            found = evaluate_model(config, out, cache or out / "embeddings", shown)
        if json:
            say_json({"out": str(out)} | as_json(found))
        else:
            _show(out, found)
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
