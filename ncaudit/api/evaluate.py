"""Evaluate a model from Python."""

from typing import TypedDict, Unpack

from ncaudit.api.given import AnyPath, Shards, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.settings import EvaluateSettings
from ncaudit.api.settle import settle
from ncaudit.audit.evaluate import Evaluation, evaluate_model
from ncaudit.audit.score import raise_for_defects
from ncaudit.audit.stages import StageProgress


class EvaluateOptions(TypedDict, total=False):
    """The fields of `EvaluateSettings` that `evaluate` takes by name."""

    encoder: str
    captions: str
    device: str
    batch_size: int
    torch_compile: bool
    cache: AnyPath


def evaluate(
    shards: Shards = (),
    *,
    model: AnyPath | None = None,
    output: AnyPath | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[EvaluateOptions],
) -> Evaluation:
    """Measure how well a model retrieves images by captions and captions by images.

    Args:
        shards: Folders, globs, brace ranges, @lists or URLs.
        model: Folder of the fitted model.
        output: Folder to write; `evaluation` if not given.
        config: TOML file with a section `evaluate`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.
        **options: Fields of `EvaluateSettings`.

    Raises:
        NcauditError: Where the command would end with an exit code other than 0.
    """
    wanted = given(dict(options), shards=shards, out=output, model=model)
    found = run_evaluate(settle(EvaluateSettings, wanted, config), shown_by(progress))
    raise_for_defects(found.defects)
    return found


@refusing_bad_paths()
def run_evaluate(settings: EvaluateSettings, progress: StageProgress | None = None) -> Evaluation:
    """Evaluate with settled settings; the result tells of shards that failed.

    Args:
        settings: All settings.
        progress: Who is told how far it is.

    Raises:
        NcauditError: See `ncaudit.audit.evaluate.evaluate_model`.
    """
    cache = settings.cache or settings.out / "embeddings"
    return evaluate_model(settings.config, settings.out, cache, progress)
