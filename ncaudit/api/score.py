"""Score shards from Python."""

from pathlib import Path
from typing import TypedDict, Unpack

from ncaudit.api.given import AnyPath, Shards, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.run import Run
from ncaudit.api.settings import ScoreSettings
from ncaudit.api.settle import settle
from ncaudit.audit.score import raise_for_problems, score_shards
from ncaudit.audit.stages import StageProgress
from ncaudit.config import FitConfig, RematchConfig
from ncaudit.engine.base import EngineOptions

# Worker processes start from the caller's script anew, which a script has to be written for.
IN_PROCESS = {"engine": {"workers": 1}}


class ScoreOptions(TypedDict, total=False):
    """The fields of `ScoreSettings` that `score` takes by name."""

    encoder: str
    embeddings: AnyPath
    captions: str
    device: str
    batch_size: int
    torch_compile: bool
    model: AnyPath
    trusted: tuple[str, ...]
    verdicts: AnyPath
    seed: int
    extra_signals: tuple[str, ...]
    overwrite: bool
    fit: FitConfig
    rematch: RematchConfig
    engine: EngineOptions


def score(
    shards: Shards = (),
    *,
    output: AnyPath | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[ScoreOptions],
) -> Run:
    """Score every pair of some shards and write a run directory; never touches the shards.

    Calling it again with the same settings goes on where an earlier call stopped.

    Args:
        shards: Folders, globs, brace ranges, @lists or URLs.
        output: Folder of the run; `audit` if not given.
        config: TOML file with a section `score`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.
        **options: Fields of `ScoreSettings`. The work is done in this process if neither
            `engine` nor the file says otherwise.

    Raises:
        NcauditError: Where the command would end with an exit code other than 0. After
            `FitError` and `ShardsFailedError` the run is there for `open_run` if it was
            finished.
    """
    wanted = given(dict(options), shards=shards, out=output)
    run = run_score(settle(ScoreSettings, wanted, config, defaults=IN_PROCESS), shown_by(progress))
    raise_for_problems(run.summary)
    return run


@refusing_bad_paths()
def run_score(settings: ScoreSettings, progress: StageProgress | None = None) -> Run:
    """Score with settled settings; the summary tells of shards that failed.

    Args:
        settings: All settings.
        progress: Who is told how far it is.

    Raises:
        NcauditError: See `ncaudit.audit.score.score_shards`.
    """
    summary = score_shards(
        settings.config,
        settings.out,
        progress,
        overwrite=settings.overwrite,
        engine=settings.engine,
    )
    return Run(Path(settings.out), summary)
