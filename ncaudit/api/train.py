"""Train a model from Python."""

from typing import TypedDict, Unpack

from ncaudit.api.given import AnyPath, Shards, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.score import IN_PROCESS
from ncaudit.api.settings import TrainSettings
from ncaudit.api.settle import settle
from ncaudit.audit.score import raise_for_defects
from ncaudit.audit.stages import StageProgress
from ncaudit.audit.train import TrainSummary, train_model
from ncaudit.config import FitConfig
from ncaudit.engine.base import EngineOptions


class TrainOptions(TypedDict, total=False):
    """The fields of `TrainSettings` that `train` takes by name."""

    encoder: str
    captions: str
    device: str
    batch_size: int
    torch_compile: bool
    cache: AnyPath
    trusted: tuple[str, ...]
    verdicts: AnyPath
    seed: int
    fit: FitConfig
    engine: EngineOptions


def train(
    shards: Shards = (),
    *,
    output: AnyPath | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[TrainOptions],
) -> TrainSummary:
    """Fit a matching model on some shards and write it to a folder.

    Args:
        shards: Folders, globs, brace ranges, @lists or URLs.
        output: Folder of the model, for `model` of `score`; `model` if not given.
        config: TOML file with a section `train`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.
        **options: Fields of `TrainSettings`.

    Raises:
        NcauditError: Where the command would end with an exit code other than 0.
    """
    wanted = given(dict(options), shards=shards, out=output)
    settings = settle(TrainSettings, wanted, config, defaults=IN_PROCESS)
    summary = run_train(settings, shown_by(progress))
    raise_for_defects(summary.defects)
    return summary


@refusing_bad_paths()
def run_train(settings: TrainSettings, progress: StageProgress | None = None) -> TrainSummary:
    """Train with settled settings; the summary tells of shards that failed.

    Args:
        settings: All settings.
        progress: Who is told how far it is.

    Raises:
        NcauditError: See `ncaudit.audit.train.train_model`.
    """
    cache = settings.cache or settings.out / "embeddings"
    return train_model(settings.config, settings.out, cache, progress, engine=settings.engine)
