"""Clean shards from Python."""

from typing import TypedDict, Unpack

from ncaudit.api.given import AnyPath, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.settings import CleanSettings
from ncaudit.api.settle import settle
from ncaudit.audit.clean import CleanSummary, clean as clean_run
from ncaudit.audit.clean_config import CleanConfig
from ncaudit.audit.scored_run import count_pairs, load_scored_run
from ncaudit.audit.stages import StageProgress, Stages


class CleanOptions(TypedDict, total=False):
    """The fields of `CleanSettings` that `clean` takes by name."""

    threshold: float
    keep_fraction: float
    max_good_loss: float
    verdicts: AnyPath
    apply_rematch: bool
    min_confidence: float
    reshard: int
    card: bool
    clip_retrieval: bool


def clean(
    run: AnyPath | None = None,
    *,
    output: AnyPath | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[CleanOptions],
) -> CleanSummary:
    """Write cleaned and rejected shards of a finished run.

    Args:
        run: Folder of the run; `audit` if not given.
        output: Folder for the cleaned shards; `cleaned` if not given.
        config: TOML file with a section `clean`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.
        **options: Fields of `CleanSettings`.

    Raises:
        NcauditError: Where the command would end with an exit code other than 0.
    """
    wanted = given(dict(options), run=run, out=output)
    return run_clean(settle(CleanSettings, wanted, config), shown_by(progress))


@refusing_bad_paths()
def run_clean(config: CleanConfig, progress: StageProgress | None = None) -> CleanSummary:
    """Clean with settled settings.

    Args:
        config: All settings.
        progress: Who is told how far it is.

    Raises:
        NcauditError: See `ncaudit.audit.clean.clean`.
    """
    shown = Stages(progress)
    shown.stage("clean", count_pairs(load_scored_run(config.run)))
    return clean_run(
        config,
        lambda tally: shown.advance(tally.n_pairs),
        lambda n_samples: shown.stage("reshard", n_samples, "samples"),
        lambda tally: shown.advance(tally.n_samples),
    )
